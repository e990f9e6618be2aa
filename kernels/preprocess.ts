import { reflect } from "../engine/graph/wgsl.ts";
import { wgsl } from "./preprocess.wgsl.ts";

/** A picture in a texture as a classifier's input: what preprocess() of engine/image/image.ts makes of it, to the bit. */
export const preprocess = { name: "preprocess", wgsl, reflection: reflect(wgsl), workgroup: 8 };
