import { winograd_output as wgsl } from "../../wgsl.ts";
import { F4, winogradOutputKernel } from "./winograd.ts";

export const winogradOutput = winogradOutputKernel("winograd_output", wgsl, F4);
