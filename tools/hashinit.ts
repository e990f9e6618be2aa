import { pcg } from "../engine/ground/hash.ts";
import { type Shape, sizeOf } from "../engine/ground/tensor.ts";
import type { Checkpoint } from "../engine/weights/checkpoint.ts";

// hashinit-1: weights and inputs from a hash, bit-exact in any language, so that a net of 500 MB needs no weight file.

function fnv(text: string): number {
  let h = 2166136261;
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 16777619) >>> 0;
  return h;
}

/** Elements start .. start + count - 1 of the tensor `name`: f32(f32(x * scale) + offset) with x in [-1, 1). */
export function generate(
  name: string,
  seed: number,
  start: number,
  count: number,
  scale: number,
  offset = 0,
): Float32Array {
  const key = (fnv(name) ^ pcg(seed)) >>> 0;
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const u = pcg((pcg(start + i) ^ key) >>> 0);
    const x = ((u >>> 8) - 8388608) * 2 ** -23;
    const product = Math.fround(x * scale);
    values[i] = offset === 0 ? product : product + offset;
  }
  return values;
}

export const fromBits = (hex: string): number => new Float32Array(new Uint32Array([Number(hex)]).buffer)[0];

export interface NetRecord {
  readonly net: string;
  readonly options: Record<string, unknown>;
  readonly input_shape: Shape;
  readonly input_block: number;
  readonly input_scale_bits: string;
  /** [name, shape, kind, bits of scale, hash] */
  readonly tensors: readonly (readonly [string, Shape, string, string, string])[];
  readonly logits_f64: readonly number[];
  readonly logits_rms: number;
  readonly torch_f32_max_err_over_rms: number;
  readonly stages: readonly {
    readonly stage: string;
    readonly shape: Shape;
    readonly mean: number;
    readonly rms: number;
    readonly samples: readonly (readonly [index: number, value: number])[];
    readonly torch_f32_err_over_rms: number;
  }[];
}

export interface NetsFile {
  readonly seed: number;
  readonly kinds: Readonly<Record<string, { readonly scale: string; readonly offset: string }>>;
  readonly nets: Readonly<Record<string, NetRecord>>;
}

/** The weights of one record as a checkpoint that makes them as they are read. */
export function generatedCheckpoint(
  file: Pick<NetsFile, "seed" | "kinds">,
  key: string,
  { tensors }: Pick<NetRecord, "tensors"> = (file as NetsFile).nets[key],
): Checkpoint {
  const records = new Map(tensors.map((row) => [row[0], row]));
  return {
    name: `generated ${key}`,
    tensors: new Map([...records].map(([name, [, shape]]) => [name, { shape, dtype: "F32" }])),
    async read(name, start = 0, count) {
      const record = records.get(name);
      if (!record) throw new Error(`${key} has no tensor ${name}`);
      const [, shape, kind, scale] = record;
      const offset = fromBits(file.kinds[kind]?.offset ?? "0x0");
      return generate(`${key}/${name}`, file.seed, start, count ?? sizeOf(shape) - start, fromBits(scale), offset);
    },
    close: async () => {},
  };
}

type InputRecord = Pick<NetRecord, "input_shape" | "input_block" | "input_scale_bits">;

/** The input of one record, or one of several: coarse blocks plus fine noise, so that logits depend on the image. */
export function generatedInput(
  file: Pick<NetsFile, "seed">,
  key: string,
  { input_shape: shape, input_block: block, input_scale_bits: bits }: InputRecord = (file as NetsFile).nets[key],
  which = "",
): Float32Array {
  const [batch, channels, height, width] = shape;
  const [rows, columns] = [Math.ceil(height / block), Math.ceil(width / block)];
  const coarse = generate(`${key}/input${which}`, file.seed, 0, batch * channels * rows * columns, fromBits(bits));
  const input = generate(`${key}/input_fine${which}`, file.seed, 0, sizeOf(shape), 0.25);
  for (let plane = 0, i = 0; plane < batch * channels; plane++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        input[i] += coarse[(plane * rows + Math.floor(y / block)) * columns + Math.floor(x / block)];
      }
    }
  }
  return input;
}
