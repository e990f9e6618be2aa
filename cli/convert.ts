import { type Command, Option } from "commander";
import { formatShape, sizeOf } from "../engine/ground/tensor.ts";
import { type Checkpoint, encodeSafetensors, fileSource, openCheckpoint, type Shape } from "../index.ts";
import { type CommonOptions, type Context, command } from "../tools/command.ts";
import { writeWhole } from "../tools/files.ts";
import { columns, count, oneLine } from "../tools/format.ts";
import { complain, openProgress, print, printJson } from "../tools/terminal.ts";

type Dtype = "f32" | "f16";

interface Options extends CommonOptions {
  readonly dtype: Dtype;
}

export function convertCommand(context: Context): Command {
  return command(
    "convert",
    "write weights as safetensors; without a second file, check the first and list its tensors",
    "npx shadenet convert resnet18.pth resnet18.safetensors --dtype f16",
  )
    .argument("<in>", "a .safetensors or a PyTorch .pth/.pt file")
    .argument("[out]", "the .safetensors file to write")
    .addOption(
      new Option("--dtype <type>", "how to store floating-point numbers").choices(["f32", "f16"]).default("f32"),
    )
    .action((input: string, output: string | undefined, options: Options) => convert(input, output, options, context));
}

interface Row {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: string;
  /** How many values are NaN or infinite. */
  readonly nonFinite: number;
}

/** Takes values of a tensor as they are read. */
type Sink = (name: string, values: Float32Array) => Promise<void>;

async function convert(input: string, output: string | undefined, options: Options, context: Context): Promise<void> {
  const checkpoint = await openCheckpoint(await fileSource(input));
  try {
    let rows: Row[] = [];
    if (output === undefined) {
      rows = await readAll(checkpoint, context, async () => {});
    } else {
      const dtypes = new Map(
        [...checkpoint.tensors].map(([name, { dtype }]) => [name, storedAs(dtype, options.dtype)]),
      );
      await writeWhole(output, async (file) => {
        await file.appendFile(header(checkpoint, dtypes));
        const sink: Sink = (name, values) => file.appendFile(encode(name, values, dtypes.get(name)));
        const read = await readAll(checkpoint, context, sink);
        rows = read.map((row) => ({ ...row, dtype: dtypes.get(row.name)?.toUpperCase() ?? row.dtype }));
      });
    }
    for (const { name, nonFinite } of rows) {
      if (nonFinite > 0) complain(`warning: ${name} has ${count(nonFinite)} values that are NaN or infinite`);
    }
    if (options.json) printJson({ input, output, tensors: rows });
    else for (const line of describe(output ?? input, rows)) print(line);
  } finally {
    await checkpoint.close();
  }
}

/** Counters and other integers stay whole numbers, which f16 could not hold. */
const storedAs = (dtype: string, wanted: Dtype): Dtype => (/^B?F\d+$/.test(dtype) ? wanted : "f32");

const BYTES = { f32: 4, f16: 2 } as const;

/** Values that are read at a time, so that a file of any size takes little memory. */
const PIECE = 2 ** 20;

async function readAll(checkpoint: Checkpoint, { signal }: Context, sink: Sink): Promise<Row[]> {
  const progress = await openProgress("Reading");
  const rows: Row[] = [];
  const total = [...checkpoint.tensors.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  let done = 0;
  try {
    for (const [name, { shape, dtype }] of checkpoint.tensors) {
      let nonFinite = 0;
      for (let start = 0; start < sizeOf(shape); start += PIECE) {
        signal.throwIfAborted();
        const values = await checkpoint.read(name, start, Math.min(PIECE, sizeOf(shape) - start));
        for (const value of values) if (!Number.isFinite(value)) nonFinite++;
        await sink(name, values);
        done += values.length;
        progress.update(done, total);
      }
      rows.push({ name, shape, dtype, nonFinite });
    }
    return rows;
  } finally {
    progress.stop();
  }
}

/** The length and the header of a safetensors file, padded so that the data start at a multiple of 8 bytes. */
function header({ tensors }: Checkpoint, dtypes: ReadonlyMap<string, Dtype>): Uint8Array {
  let end = 0;
  // Not through an object, which would put names that look like numbers first.
  const members = [...tensors].map(([name, { shape }]) => {
    const dtype = dtypes.get(name) ?? "f32";
    const begin = end;
    end += sizeOf(shape) * BYTES[dtype];
    const entry = { dtype: dtype.toUpperCase(), shape, data_offsets: [begin, end] };
    return `${JSON.stringify(name)}:${JSON.stringify(entry)}`;
  });
  const text = Buffer.from(`{${members.join(",")}}`);
  const bytes = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, " ");
  bytes.writeBigUInt64LE(BigInt(bytes.length - 8));
  text.copy(bytes, 8);
  return bytes;
}

/** Values as a safetensors file has them: what stands behind the header of a file with nothing else. */
function encode(name: string, values: Float32Array, dtype?: Dtype): Uint8Array {
  const file = encodeSafetensors(new Map([[name, { shape: [values.length], data: values }]]), undefined, dtype);
  return file.subarray(8 + Number(new DataView(file.buffer).getBigUint64(0, true)));
}

function describe(file: string, rows: readonly Row[]): string[] {
  const values = rows.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return [
    ...columns(rows.map(({ name, shape, dtype }) => [oneLine(name), dtype, formatShape(shape)])),
    `${file}: ${count(rows.length)} tensors with ${count(values)} values`,
  ];
}
