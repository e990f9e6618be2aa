import type { OnnxCall } from "../engine/graph/onnx_call.ts";
import type { Value } from "../engine/graph/value.ts";
import { UsageError } from "../engine/ground/errors.ts";
import { gather } from "./gather.ts";
import { matmul } from "./matmul.ts";

// Images of other sizes, as ONNX has them (https://onnx.ai/onnx/operators/onnx__Resize.html): the nearest pixels are picked,
// and others are a product with a matrix of weights along each dimension.

/** Where a place of the output is in the input. */
type Place = (at: number) => number;

/** By ONNX's names of them: from the sizes of input and output, as it is before it is rounded, and the factor between them. */
const PLACES: Readonly<Record<string, (input: number, output: number, scale: number) => Place>> = {
  half_pixel: (_input, _output, scale) => (at) => (at + 0.5) / scale - 0.5,
  pytorch_half_pixel: (_input, output, scale) => (at) => (output > 1 ? (at + 0.5) / scale - 0.5 : 0),
  asymmetric: (_input, _output, scale) => (at) => at / scale,
  align_corners: (input, output) => (at) => (output > 1 ? (at * (input - 1)) / (output - 1) : 0),
  half_pixel_symmetric(input, output, scale) {
    const rounded = Math.floor(output) / output;
    return (at) => (input / 2) * (1 - rounded) + (at + 0.5) / scale - 0.5;
  },
};

const ROUND: Readonly<Record<string, (place: number) => number>> = {
  round_prefer_floor: (place) => Math.ceil(place - 0.5),
  round_prefer_ceil: (place) => Math.floor(place + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** The weights of the pixels from the one before the last whole place on, by how far the place is behind that. */
const KERNELS: Readonly<Record<string, (t: number, a: number) => readonly number[]>> = {
  linear: (t) => [0, 1 - t, t, 0],
  cubic(t, a) {
    const close = (d: number) => ((a + 2) * d - (a + 3)) * d * d + 1;
    const far = (d: number) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    return [far(t + 1), close(t), close(1 - t), far(2 - t)];
  },
};

/** The largest table, and the largest matrix. */
const MOST_PLACES = 1 << 16;
const MOST_WEIGHTS = 1 << 24;

/** Resize and Upsample. Throws a UsageError for what neither picks nor weighs pixels. */
export function resized(call: OnnxCall): Value {
  const x = call.value(0);
  const { length: rank } = x.shape;
  const isOld = call.opset < 11;
  const axes = (call.list("axes") ?? x.shape.map((_, d) => d)).map((axis) => (axis < 0 ? axis + rank : axis));
  const listed = isOld ? call.integers("scales", 1) : call.known(2);
  const given = listed && listed.length > 0 ? listed : undefined;
  const sizes = isOld ? undefined : call.known(3);
  const mode = call.text("mode", "nearest").replace("bilinear", "linear");
  const how = call.text("coordinate_transformation_mode", isOld ? "asymmetric" : "half_pixel");
  const rounding = call.text("nearest_mode", isOld ? "floor" : "round_prefer_floor");
  const odd = [
    call.number("antialias", 0) === 1 && "antialias",
    call.number("exclude_outside", 0) === 1 && "exclude_outside",
    !["stretch", ""].includes(call.text("keep_aspect_ratio_policy", "")) && "keep_aspect_ratio_policy",
    !Object.hasOwn(PLACES, how) && how,
    mode !== "nearest" && !Object.hasOwn(KERNELS, mode) && mode,
    mode === "nearest" && !Object.hasOwn(ROUND, rounding) && rounding,
  ].find((each) => each);
  if (odd) throw new UsageError(`with ${odd}`);
  return axes.reduce((y, axis, i) => {
    const input = y.shape[axis];
    const output = given ? Math.floor(input * given[i]) : (sizes?.[i] ?? NaN);
    if (output === input) return y;
    if (!(output > 0 && output <= MOST_PLACES && input * output <= MOST_WEIGHTS))
      throw new UsageError(`of ${input} pixels to ${output}`);
    const scale = given ? given[i] : output / input;
    const place = PLACES[how](input, input * scale, scale);
    const at = (index: number) => Math.min(Math.max(index, 0), input - 1);
    if (mode === "nearest") {
      const places = () => Array.from({ length: output }, (_, o) => at(ROUND[rounding](place(o))));
      return gather(y, call.constant(`places of ${axis}`, [output], places), { dim: axis });
    }
    const isLast = axis === rank - 1;
    if (axis < rank - 2) throw new UsageError(`of mode ${mode} along dimension ${axis}`);
    const weights = () => {
      const matrix = new Float64Array(input * output);
      for (let o = 0; o < output; o++) {
        const first = Math.floor(place(o));
        KERNELS[mode](place(o) - first, call.number("cubic_coeff_a", -0.75)).forEach((weight, k) => {
          const from = at(first - 1 + k);
          matrix[isLast ? from * output + o : o * input + from] += weight;
        });
      }
      return matrix;
    };
    const matrix = call.constant(`weights of ${axis}`, isLast ? [input, output] : [output, input], weights);
    return isLast ? matmul(y, matrix) : matmul(matrix, y);
  }, x);
}
