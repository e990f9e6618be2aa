import { F2, winogradOutputKernel } from "./winograd.ts";
import { wgsl } from "./winograd_output_2x2.wgsl.ts";

export const winogradOutput2x2 = winogradOutputKernel("winograd_output_2x2", wgsl, F2);
