// Generated from the .wgsl files by generate_wgsl.mjs (npm run wgsl); do not edit.

export const wgslHash = "ba3948b6d4fb";
