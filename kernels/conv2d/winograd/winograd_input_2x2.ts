import { winograd_input_2x2 as wgsl } from "../../wgsl.ts";
import { F2, winogradInputKernel } from "./winograd.ts";

export const winogradInput2x2 = winogradInputKernel("winograd_input_2x2", wgsl, F2);
