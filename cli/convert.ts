import { type Command, Option } from "commander";
import { formatShape, sizeOf } from "../engine/ground/tensor.ts";
import { listNames, quote } from "../engine/weights/checkpoint.ts";
import { ELEMENT_TYPES, encodeHeader, encodeValues } from "../engine/weights/safetensors.ts";
import { type Checkpoint, fileSource, openCheckpoint, type Shape, type TensorInfo, UsageError } from "../index.ts";
import { type CommonOptions, type Context, command, weightsKeyOption } from "../tools/command.ts";
import { refuseOverwriting, writeWhole } from "../tools/files.ts";
import { columns, count, oneLine } from "../tools/format.ts";
import { complain, openProgress, print, printJson } from "../tools/terminal.ts";

type Dtype = "f32" | "f16";

interface Options extends CommonOptions {
  readonly dtype: Dtype;
  readonly weightsKey?: string;
}

export function convertCommand(context: Context): Command {
  return command(
    "convert",
    "write weights as safetensors; without a second file, check the first and list its tensors",
    "npx shadenet convert resnet18.pth resnet18.safetensors --dtype f16",
  )
    .argument("<in>", "a .safetensors file, its index of shards or a PyTorch .pth/.pt file; - is standard input")
    .argument("[out]", "the .safetensors file to write")
    .addOption(
      new Option("--dtype <type>", "how to store F32, F16 and BF16; all else stays as it is")
        .choices(["f32", "f16"])
        .default("f32"),
    )
    .addOption(weightsKeyOption())
    .action((input: string, output: string | undefined, options: Options) => convert(input, output, options, context));
}

interface Row {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: string;
  /** How many values are NaN or infinite. */
  readonly nonFinite: number;
}

async function convert(input: string, output: string | undefined, options: Options, context: Context): Promise<void> {
  if (output !== undefined) await refuseOverwriting(output, [input]);
  const opened = await openCheckpoint(await fileSource(input));
  try {
    const checkpoint = choose(opened, options.weightsKey);
    let rows: Row[] = [];
    if (output === undefined) {
      rows = await readAll(checkpoint, context, (_, { dtype }) => dtype);
    } else {
      const dtypes = new Map<string, TensorInfo>();
      for (const [name, { shape, dtype }] of checkpoint.tensors)
        dtypes.set(name, { shape, dtype: FLOATS.has(dtype) ? options.dtype.toUpperCase() : dtype });
      const start = encodeHeader(dtypes, checkpoint.metadata);
      await writeWhole(output, async (file) => {
        await file.appendFile(start);
        rows = await readAll(
          checkpoint,
          context,
          (name) => dtypes.get(name)?.dtype ?? "",
          (bytes) => file.appendFile(bytes),
        );
      });
    }
    for (const { name, nonFinite } of rows) {
      if (nonFinite > 0) complain(`warning: ${name} has ${count(nonFinite)} values that are NaN or infinite`);
    }
    if (options.json) printJson({ input, output, tensors: rows });
    else for (const line of describe(output ?? input, rows)) print(line);
  } finally {
    await opened.close();
  }
}

/** The mapping of names to tensors that is asked for, else the file's first. */
function choose(opened: Checkpoint, key: string | undefined): Checkpoint {
  if (key === undefined) {
    tellOthers(opened);
    return opened;
  }
  const { name, parts = new Map([["", opened]]) } = opened;
  const part = parts.get(key);
  if (part) return part;
  throw new UsageError(`${name} has no mapping ${quote(key)} for --weights-key; it has ${listNames(parts.keys())}`);
}

/** Says so where the file has other weights that may have been meant. */
function tellOthers({ name, tensors, parts = new Map() }: Checkpoint): void {
  const keys = [...parts].filter(([, part]) => part.tensors.size >= tensors.size).map(([key]) => key);
  const taken = [...parts].find(([, part]) => part.tensors === tensors)?.[0] ?? "";
  if (keys.length > 1) complain(`warning: ${name} has several mappings, ${listNames(keys)}; this is ${quote(taken)}`);
}

/** What is written as the type that is asked for. All else, such as counters, stays as it is: float32 could not hold it. */
const FLOATS: ReadonlySet<string> = new Set(["F32", "F16", "BF16"]);

/** Values that are read at a time, so that a file of any size takes little memory. */
const PIECE = 2 ** 20;

/** Reads all tensors, and gives the bytes of each as the dtype that is wanted for it. */
async function readAll(
  checkpoint: Checkpoint,
  { signal }: Context,
  dtypeFor: (name: string, info: TensorInfo) => string,
  write: (bytes: Uint8Array) => Promise<void> = async () => {},
): Promise<Row[]> {
  const progress = await openProgress("Reading");
  const rows: Row[] = [];
  const total = [...checkpoint.tensors.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  let done = 0;
  try {
    for (const [name, info] of checkpoint.tensors) {
      const { shape } = info;
      const dtype = dtypeFor(name, info);
      let nonFinite = 0;
      for (let start = 0; start < sizeOf(shape); start += PIECE) {
        signal.throwIfAborted();
        const length = Math.min(PIECE, sizeOf(shape) - start);
        const piece = await readPiece(checkpoint, name, info.dtype, dtype, start, length);
        nonFinite += piece.nonFinite;
        await write(piece.bytes);
        done += length;
        progress.update(done, total);
      }
      rows.push({ name, shape, dtype, nonFinite });
    }
    return rows;
  } finally {
    progress.stop();
  }
}

/** Some values of a tensor as a safetensors file has them, and how many are NaN or infinite. */
async function readPiece(
  { name: file, readBytes }: Checkpoint,
  name: string,
  from: string,
  to: string,
  start: number,
  length: number,
): Promise<{ bytes: Uint8Array; nonFinite: number }> {
  if (!readBytes) throw new UsageError(`${file} is no file that could be converted`);
  const bytes = await readBytes(name, start, length);
  const values = from === "F64" ? new Float64Array(Uint8Array.from(bytes).buffer) : new Float32Array(length);
  if (values instanceof Float32Array && FLOATS.has(from)) ELEMENT_TYPES.get(from)?.decode?.(bytes, values);
  let nonFinite = 0;
  for (const value of values) if (!Number.isFinite(value)) nonFinite++;
  if (from === to) return { bytes, nonFinite };
  return { bytes: encodeValues(name, values as Float32Array, to === "F16" ? "f16" : "f32"), nonFinite };
}

function describe(file: string, rows: readonly Row[]): string[] {
  const values = rows.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return [
    ...columns(rows.map(({ name, shape, dtype }) => [oneLine(name), dtype, formatShape(shape)])),
    `${file}: ${count(rows.length)} tensors with ${count(values)} values`,
  ];
}
