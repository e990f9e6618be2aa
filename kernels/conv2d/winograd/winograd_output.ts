import { F4, winogradOutputKernel } from "./winograd.ts";
import { wgsl } from "./winograd_output.wgsl.ts";

export const winogradOutput = winogradOutputKernel("winograd_output", wgsl, F4);
