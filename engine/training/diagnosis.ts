import type { Device } from "../device/device.ts";
import type { Inputs } from "../device/executable.ts";
import type { Graph } from "../graph/graph.ts";
import { rewrite } from "../graph/passes.ts";
import { bytesOf, type Plan } from "../graph/plan.ts";
import type { TrainingTable } from "../graph/training.ts";
import { GpuError, show } from "../ground/errors.ts";
import { formatBytes, sizeOf, type Tensor } from "../ground/tensor.ts";
import type { Model } from "../model.ts";
import { compileForward, statesOf, type TrainingStep } from "./graph.ts";
import { arenasOf, readArenas } from "./state.ts";

// What an error of a training tells besides: loaded when there is one.

/** Where the numbers of a step leave float32 first, for its error: nothing where that cannot be found out. */
export async function findOverflow(
  inputs: Inputs,
  model: Model,
  step: TrainingStep,
  ...traced: readonly [forward: Graph, trains: (name: string) => boolean, table: TrainingTable]
): Promise<string> {
  if (!(inputs.x as Float32Array).every(Number.isFinite)) return ", as the images have values that are not finite";
  const isOver = ({ data }: Tensor) => !data.every(Number.isFinite);
  const prepare = (plan: Plan) => model.prepare(plan);
  const release = (plan: Plan) => model.release(plan);
  const plan = compileNorms(step, model.device, ...traced);
  try {
    const norms = await (await prepare(plan)).run(inputs);
    const layer = Object.entries(norms).find(([, norm]) => isOver(norm));
    if (layer) return `, first in what ${show(layer[0])} gives`;
  } finally {
    await release(plan);
  }
  const arenas = arenasOf({ ...step, statistics: [] }, { moments: [] }, true);
  // Backwards, as they are computed; the weights are finite.
  const over = [...(await readArenas(arenas, prepare, release))].findLast(([, tensor]) => isOver(tensor));
  return over ? `, first in the ${over[0].replace(".", " of ")}` : "";
}

/**
 * The forward part of a step, whose outputs are the sums of the squares of what the net's layers give, by their names: not
 * finite where one of these is not, or over 1e19.
 */
function compileNorms(
  step: TrainingStep,
  target: Device,
  forward: Graph,
  trains: (name: string) => boolean,
  table: TrainingTable,
): Plan {
  const { formed } = statesOf(forward, trains, table);
  const graph = rewrite(forward, (node, _, next) =>
    formed(node) ? table.forms[node.kernel.name](next.inputsOf(node), node.options).y : "keep",
  );
  const layers = [...graph.names];
  graph.names.clear();
  for (const [name, id] of layers) {
    const value = graph.value(id);
    const size = sizeOf(value.shape);
    // In whole vec4s: elements of the middle count twice, and what has fewer than four is left out.
    const whole = size - (size % 4);
    if (whole === 0) continue;
    const part = (start: number) => table.slice(value, start, start + whole);
    graph.name(name, table.norm(whole < size ? [part(0), part(size - whole)] : [part(0)]));
  }
  return compileForward(graph, step, table, target, [...graph.names.keys()]);
}

/** The same error for want of memory, with the largest half, quarter ... of the batch for which there is enough. */
export function withSmallerBatch(
  error: unknown,
  batch: number,
  planOf: (batch: number) => Plan,
  checkMemory?: (bytes: number) => void,
): unknown {
  if (!(error instanceof GpuError) || !["LIMIT", "OUT_OF_MEMORY"].includes(error.code)) return error;
  for (let images = Math.floor(batch / 2); images > 0; images = Math.floor(images / 2)) {
    try {
      const { total } = bytesOf(planOf(images));
      checkMemory?.(total);
      const told = `${error.message}; a batch of ${images} takes ${formatBytes(total)}`;
      return new GpuError(error.code as "LIMIT", told, { cause: error });
    } catch {
      // So many do not fit, either.
    }
  }
  return error;
}
