import type { GradientOf } from "../engine/graph/gradients.ts";
import { sizeOf } from "../engine/ground/tensor.ts";
import { pad } from "./pad.ts";
import { partOf, type slice } from "./slice.ts";

/** Zeros behind each place fill up the steps, and others what is before and behind the part. */
export const gradient: GradientOf<typeof slice> = ({ inputs: { x }, options, dy }) => ({
  x() {
    const { graph, shape } = x;
    const { step } = options;
    const { d, start, size } = partOf(shape, options);
    const [outer, inner] = [sizeOf(shape.slice(0, d)), sizeOf(shape.slice(d + 1))];
    const rows = graph.reshape(dy, [1, outer * size, 1, inner]);
    const steps = step === 1 ? rows : pad(rows, { padding: [0, 0, step - 1, 0] });
    const part = graph.reshape(steps, [1, outer, size * step, inner]);
    // The last step may lead over the end: then what is behind it is taken off.
    return graph.reshape(pad(part, { padding: [start, 0, shape[d] - start - size * step, 0] }), shape);
  },
});
