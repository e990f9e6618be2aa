import { axisOf, type Known, type OnnxCall, partsOf, VIEWS } from "../graph/onnx_call.ts";
import { Value } from "../graph/value.ts";
import { UsageError } from "../ground/errors.ts";
import { type Shape, sameShape, sizeOf, stridesOf } from "../ground/tensor.ts";

// What of a model is computed as it is read, or as its weights are: shapes, and what is made of tensors of the file alone.

type Numbers = ArrayLike<number>;

/** The outcome of an operator on what is known: its shape at once, its elements where those of its inputs are. */
interface Folded {
  readonly shape: Shape;
  readonly isFloat: boolean;
  compute(inputs: readonly Numbers[]): Numbers;
}

type Folder = (call: OnnxCall, inputs: readonly Known[]) => Folded;

/** The most elements of what is computed at once, and of what is when the weights load. */
const MOST_NOW = 1 << 20;
const MOST_LATER = 2 ** 28;

/** The most operators one after the other that a weight is made by. */
const MOST_STEPS = 1000;

/** Elements of a strided view of others, row by row. */
function viewed(x: Numbers, shape: Shape, strides: readonly number[], first = 0): Numbers {
  if (first === 0 && x.length === sizeOf(shape) && sameShape(strides, stridesOf(shape))) return x;
  const y = new Float64Array(sizeOf(shape));
  const at = shape.map(() => 0);
  for (let i = 0, from = first; i < y.length; i++) {
    y[i] = x[from];
    for (let d = shape.length - 1; d >= 0; d--) {
      from += strides[d];
      if (++at[d] < shape[d]) break;
      from -= strides[d] * at[d];
      at[d] = 0;
    }
  }
  return y;
}

/** Strides of x under a shape that it is broadcast to. */
function stretched(x: Shape, shape: Shape): number[] {
  const strides = stridesOf(x);
  const missing = shape.length - x.length;
  return shape.map((_, d) => (d < missing || x[d - missing] === 1 ? 0 : strides[d - missing]));
}

function broadcast(shapes: readonly Shape[]): Shape {
  const rank = Math.max(...shapes.map(({ length }) => length));
  return Array.from({ length: rank }, (_, d) => {
    const sizes = shapes.map((shape) => shape[d - rank + shape.length] ?? 1);
    const size = sizes.find((each) => each !== 1) ?? 1;
    if (sizes.every((each) => each === 1 || each === size)) return size;
    throw new UsageError(`its inputs ${shapes.map((shape) => `[${shape}]`).join(", ")} cannot be broadcast`);
  });
}

/** y = f(a, b, ...) element by element; integers of integers unless f says otherwise. */
const each =
  (f: (...values: number[]) => number, isFloat?: boolean): Folder =>
  (_call, inputs) => {
    const shape = broadcast(inputs.map((input) => input.shape));
    const floats = isFloat ?? inputs.some((input) => input.isFloat);
    return {
      shape,
      isFloat: floats,
      compute(data) {
        const views = data.map((values, i) => viewed(values, shape, stretched(inputs[i].shape, shape)));
        const [a, b] = views;
        const at = (i: number) => {
          if (views.length === 2) return f(a[i], b[i]);
          return views.length === 1 ? f(a[i]) : f(...views.map((view) => view[i]));
        };
        const y = new Float64Array(sizeOf(shape));
        for (let i = 0; i < y.length; i++) y[i] = floats ? at(i) : Math.trunc(at(i));
        return y;
      },
    };
  };

const yes = (f: (a: number, b: number) => boolean): Folder => each((a, b) => Number(f(a, b)), false);

/** The same elements, or some of them, from a shape and how they lie in x. */
const moved =
  (
    view: (call: OnnxCall, shape: Shape) => readonly [shape: Shape, strides: readonly number[], first?: number],
  ): Folder =>
  (call, [{ shape: from, isFloat }]) => {
    const [shape, strides, first] = view(call, from);
    return { shape, isFloat, compute: ([x]) => viewed(x, shape, strides, first) };
  };

const made = (shape: Shape, isFloat: boolean, compute: () => Numbers): Folded => ({ shape, isFloat, compute });

/** ONNX's numbers of the types that are no integers. */
const FLOAT_TYPES = [1, 10, 11, 16];

const cast: Folder = (call, [x]) => {
  const isFloat = FLOAT_TYPES.includes(call.number("to", 1));
  const isBool = call.number("to", 1) === 9;
  const convert = isBool ? (v: number) => Number(v !== 0) : Math.trunc;
  return { shape: x.shape, isFloat, compute: ([data]) => (isFloat ? data : Array.from(data, convert)) };
};

/** Operators by ONNX's names, for inputs that are known. */
const FOLDERS: Readonly<Record<string, Folder>> = {
  ...Object.fromEntries(
    Object.entries(VIEWS).map(([op, view]): [string, Folder] => [
      op,
      (call, [{ shape, isFloat }]) => ({ shape: view(call, shape), isFloat, compute: ([x]) => x }),
    ]),
  ),
  Add: each((a, b) => a + b),
  Sub: each((a, b) => a - b),
  Mul: each((a, b) => a * b),
  Div: each((a, b) => a / b),
  Mod: (call, inputs) =>
    each(call.number("fmod", 0) ? (a, b) => a % b : (a, b) => a - b * Math.floor(a / b))(call, inputs),
  Pow: each((a, b) => a ** b),
  Min: each(Math.min),
  Max: each(Math.max),
  Clip(call, [x]) {
    const bound = (name: string, input: number, usual: number) => call.known(input)?.[0] ?? call.number(name, usual);
    const [low, high] = [bound("min", 1, -Infinity), bound("max", 2, Infinity)];
    const { compute, ...clipped } = each((v) => Math.min(Math.max(v, low), high))(call, [x]);
    return { ...clipped, compute: ([data]) => compute([data]) };
  },
  Neg: each((a) => -a),
  Abs: each(Math.abs),
  Sqrt: each(Math.sqrt),
  Reciprocal: each((a) => 1 / a),
  Exp: each(Math.exp),
  Log: each(Math.log),
  Floor: each(Math.floor),
  Ceil: each(Math.ceil),
  Not: each((a) => Number(a === 0), false),
  And: yes((a, b) => a !== 0 && b !== 0),
  Or: yes((a, b) => a !== 0 || b !== 0),
  Equal: yes((a, b) => a === b),
  Less: yes((a, b) => a < b),
  Greater: yes((a, b) => a > b),
  LessOrEqual: yes((a, b) => a <= b),
  GreaterOrEqual: yes((a, b) => a >= b),
  Where: (call, inputs) => ({
    ...each((condition, a, b) => (condition === 0 ? b : a))(call, inputs),
    isFloat: inputs[1].isFloat,
  }),
  Cast: cast,

  Transpose: moved((call, shape) => {
    const order = call.list("perm") ?? shape.map((_, d) => shape.length - 1 - d);
    const strides = stridesOf(shape);
    const dims = order.map((d) => axisOf(d, shape.length));
    return [dims.map((d) => shape[d]), dims.map((d) => strides[d])];
  }),
  Expand: moved((call, shape) => {
    const wanted = broadcast([shape, call.known(1) ?? []]);
    return [wanted, stretched(shape, wanted)];
  }),
  Slice: moved((call, shape) => {
    const [sizes, strides] = [[...shape], stridesOf(shape)];
    let first = 0;
    for (const { axis, start, count, step } of partsOf(call, shape)) {
      first += start * strides[axis];
      sizes[axis] = count;
      strides[axis] *= step;
    }
    return [sizes, strides, first];
  }),

  Gather(call, [x, { shape: picks }]) {
    const axis = axisOf(call.number("axis", 0), x.shape.length);
    const size = x.shape[axis];
    const inner = sizeOf(x.shape.slice(axis + 1));
    const shape = [...x.shape.slice(0, axis), ...picks, ...x.shape.slice(axis + 1)];
    const compute = ([data, indices]: readonly Numbers[]) => {
      const places = Array.from(indices, (index) => (index < 0 ? index + size : index));
      if (!places.every((place) => place >= 0 && place < size))
        throw new UsageError("its indices are none of x's places");
      return Float64Array.from({ length: sizeOf(shape) }, (_, i) => {
        const outer = Math.floor(i / inner / places.length);
        return data[(outer * size + places[Math.floor(i / inner) % places.length]) * inner + (i % inner)];
      });
    };
    return { shape, isFloat: x.isFloat, compute };
  },

  ScatterND(_call, [x, { shape: places }, updates]) {
    const depth = places.at(-1) ?? 0;
    const strides = stridesOf(x.shape);
    const inner = sizeOf(x.shape.slice(depth));
    const count = sizeOf(places.slice(0, -1));
    if (depth > x.shape.length || sizeOf(updates.shape) !== count * inner)
      throw new UsageError("its updates are not as many as its indices name");
    const compute = ([data, indices, values]: readonly Numbers[]) => {
      const y = Float64Array.from(data);
      for (let i = 0; i < count; i++) {
        let at = 0;
        for (let d = 0; d < depth; d++) {
          const index = indices[i * depth + d];
          at += (index < 0 ? index + x.shape[d] : index) * strides[d];
        }
        for (let k = 0; k < inner; k++) y[at + k] = values[i * inner + k];
      }
      return y;
    };
    return { shape: x.shape, isFloat: x.isFloat, compute };
  },

  Concat(call, inputs) {
    const [{ shape: first, isFloat }] = inputs;
    const axis = axisOf(call.number("axis", 0), first.length);
    const fits = ({ shape }: Known) => String(shape.with(axis, 0)) === String(first.with(axis, 0));
    if (!inputs.every((input) => input.shape.length === first.length && fits(input)))
      throw new UsageError("its inputs differ in more than its axis");
    const shape = first.with(
      axis,
      inputs.reduce((sum, input) => sum + input.shape[axis], 0),
    );
    const outer = sizeOf(first.slice(0, axis));
    const compute = (data: readonly Numbers[]) => {
      const y = new Float64Array(sizeOf(shape));
      let at = 0;
      for (let o = 0; o < outer; o++) {
        for (const values of data) {
          const length = values.length / outer;
          for (let i = 0; i < length; i++) y[at++] = values[o * length + i];
        }
      }
      return y;
    };
    return { shape, isFloat, compute };
  },

  ConstantOfShape(call, [, value]) {
    const shape = call.known(0) ?? [];
    return made(shape, value?.isFloat ?? true, () => new Float64Array(sizeOf(shape)).fill(call.scalar(1) ?? 0));
  },

  Range(call, [{ isFloat }]) {
    const [[start], [end], [step]] = [call.known(0) ?? [], call.known(1) ?? [], call.known(2) ?? []];
    const count = Math.max(0, Math.ceil((end - start) / step));
    return made([count], isFloat, () => Array.from({ length: count }, (_, i) => start + i * step));
  },

  Constant(call) {
    const list = call.list("value_floats") ?? call.list("value_ints");
    if (list) return made([list.length], call.list("value_floats") !== undefined, () => list);
    const isFloat = !Number.isNaN(call.number("value_float", NaN));
    return made([], isFloat, () => [isFloat ? call.number("value_float", 0) : call.number("value_int", NaN)]);
  },

  DequantizeLinear(call, [x, scale, zero]) {
    const { shape } = x;
    const most = Math.max(sizeOf(scale.shape), sizeOf(zero?.shape ?? []));
    const axis = most === 1 ? 0 : axisOf(call.number("axis", 1), shape.length);
    const [inner, places] = [sizeOf(shape.slice(axis + 1)), shape[axis] ?? 1];
    const compute = ([data, scales, zeros = [0]]: readonly Numbers[]) => {
      // What was not quantized, see the readers.
      if (x.isFloat) return data;
      return Float64Array.from(data, (v, i) => {
        const c = Math.floor(i / inner) % places;
        return (v - zeros[c % zeros.length]) * scales[c % scales.length];
      });
    };
    if (![1, places].includes(most)) throw new UsageError("its scale is one of blocks");
    return { shape, isFloat: true, compute };
  },
};

/** How many inputs they have at the least, where it is not one. */
const LEAST: Readonly<Record<string, number>> = {
  Constant: 0,
  Gather: 2,
  Where: 3,
  Range: 3,
  DequantizeLinear: 2,
  ScatterND: 3,
};

/** What follows from a shape alone. */
const SHAPES: Readonly<Record<string, (call: OnnxCall, shape: Shape) => Folded>> = {
  Shape(call, shape) {
    const taken = shape.slice(call.number("start", 0), call.number("end", shape.length));
    return made([taken.length], false, () => taken);
  },
  Size: (_call, shape) => made([], false, () => [sizeOf(shape)]),
};

/** Whether an operator can be folded, if its inputs are known. */
export const isFoldable = (op: string): boolean => Object.hasOwn(FOLDERS, op) || Object.hasOwn(SHAPES, op);

/** What an operator makes of what is known; undefined where it has to be computed. Throws a UsageError for what it cannot be. */
export function fold(op: string, call: OnnxCall): Known | undefined {
  const { name, operands } = call;
  const [x] = operands;
  const known = operands.filter((operand) => operand !== undefined);
  const inputs = known.filter((operand): operand is Known => !(operand instanceof Value));
  let folded: Folded;
  if (Object.hasOwn(SHAPES, op) && x) folded = SHAPES[op](call, x.shape);
  else if (Object.hasOwn(FOLDERS, op) && inputs.length === known.length) {
    const least = LEAST[op] ?? 1;
    if (operands.slice(0, least).filter((operand) => operand).length < least)
      throw new UsageError(`it has not the ${least} inputs that it needs`);
    folded = FOLDERS[op](call, inputs);
  } else return undefined;
  const { shape, isFloat, compute } = folded;
  // What stays as it is stays a tensor of the file.
  const isSame = Object.hasOwn(VIEWS, op) || op === "Cast";
  if (isSame && inputs[0].isFloat === isFloat && sameShape(inputs[0].shape, shape)) return inputs[0];
  const size = sizeOf(shape);
  const isKnown = size <= MOST_NOW && (inputs.every(({ values }) => values) || Object.hasOwn(SHAPES, op));
  if (!(Number.isInteger(size) && size >= 0 && size <= MOST_LATER))
    throw new UsageError(`it would make a constant of shape [${shape.slice(0, 16).join(", ")}]`);
  if (isKnown) {
    const values = compute(inputs.map(({ values }) => values ?? []));
    return { name, shape, isFloat, values, sources: new Map(), evaluate: () => values };
  }
  const depth = 1 + Math.max(...inputs.map((input) => input.depth ?? 0));
  if (depth > MOST_STEPS) throw new UsageError(`more than ${MOST_STEPS} operators make its weights of the file's`);
  const evaluate: Known["evaluate"] = (tensors, done) =>
    compute(
      inputs.map((input) => {
        const known = done.get(input) ?? input.evaluate(tensors, done);
        done.set(input, known);
        return known;
      }),
    );
  return { name, shape, isFloat, depth, sources: new Map(inputs.flatMap((input) => [...input.sources])), evaluate };
}
