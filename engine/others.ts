import { type AnyNet, type Nets, trace } from "./definition.ts";
import { paramShapes } from "./graph/graph.ts";
import type { OtherNet } from "./weights/match.ts";

/**
 * Every net there is with the tensors that it wants, again for each size of images of its published weights under which these
 * are others: for an error to tell whose a checkpoint is. What cannot be loaded or built is left out.
 */
export async function otherNets(nets: Nets, asked: AnyNet): Promise<OtherNet[]> {
  const load = async (net: Nets[string]) => formsOf(typeof net === "function" ? await net() : net, asked);
  const loaded = await Promise.allSettled(Object.values(nets).map(load));
  return loaded.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
}

function formsOf(definition: AnyNet, asked: AnyNet): OtherNet[] {
  const { rename, weights, imageSize } = definition;
  const name = definition === asked ? `${definition.name} by default` : definition.name;
  const crops = Object.values(weights).map(({ transforms }) => transforms?.crop ?? imageSize[0]);
  const forms = [...new Set([imageSize[0], ...crops])].map((size) => ({
    name,
    rename,
    options: size === imageSize[0] ? [] : [`imageSize: ${size}`],
    wanted: paramShapes(trace(definition, size === imageSize[0] ? {} : { imageSize: size })),
  }));
  const keys = forms.map(({ wanted }) => JSON.stringify([...wanted]));
  return forms.filter((_, i) => keys.indexOf(keys[i]) === i);
}
