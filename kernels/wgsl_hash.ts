// Generated from the .wgsl files by generate_wgsl.mjs (npm run wgsl); do not edit.

export const wgslHash = "6e1abdb19e90";
