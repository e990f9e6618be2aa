import { F2, winogradInputKernel } from "./winograd.ts";
import { wgsl } from "./winograd_input_2x2.wgsl.ts";

export const winogradInput2x2 = winogradInputKernel("winograd_input_2x2", wgsl, F2);
