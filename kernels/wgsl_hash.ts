// Generated from the .wgsl files by generate_wgsl.mjs (npm run wgsl); do not edit.

export const wgslHash = "c2da532d3e45";
