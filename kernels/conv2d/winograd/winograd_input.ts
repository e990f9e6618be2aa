import { F4, winogradInputKernel } from "./winograd.ts";
import { wgsl } from "./winograd_input.wgsl.ts";

export const winogradInput = winogradInputKernel("winograd_input", wgsl, F4);
