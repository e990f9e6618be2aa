import { winograd_output_2x2 as wgsl } from "../../wgsl.ts";
import { F2, winogradOutputKernel } from "./winograd.ts";

export const winogradOutput2x2 = winogradOutputKernel("winograd_output_2x2", wgsl, F2);
