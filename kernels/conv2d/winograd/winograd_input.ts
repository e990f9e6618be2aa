import { winograd_input as wgsl } from "../../wgsl.ts";
import { F4, winogradInputKernel } from "./winograd.ts";

export const winogradInput = winogradInputKernel("winograd_input", wgsl, F4);
