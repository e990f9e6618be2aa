import type { Value } from "../../engine/graph/value.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { gather } from "../gather.ts";
import { pad } from "../pad.ts";

/** The elements of x at `places` [I], counted from 1, and 0 for a place of 0: [1, 1, 1, I]. */
export const gatherPlaces = (x: Value, places: Value): Value =>
  gather(pad(x.graph.reshape(x, [1, 1, 1, sizeOf(x.shape)]), { padding: [0, 1, 0, 0] }), places, { dim: 3 });
