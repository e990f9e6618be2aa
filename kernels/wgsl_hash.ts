// Generated from the .wgsl files by generate_wgsl.mjs (npm run wgsl); do not edit.

export const wgslHash = "92c813d2a1a5";
