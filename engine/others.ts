import { type AnyNet, type Nets, type PublishedWeights, trace } from "./definition.ts";
import { paramShapes } from "./graph/graph.ts";
import { show } from "./ground/errors.ts";
import type { OtherNet } from "./weights/match.ts";

/**
 * Every net there is with the tensors that it wants, again for the options and sizes of images of its published weights where
 * they are others under these: for an error to tell whose a checkpoint is. What cannot be loaded or built is left out.
 */
export async function otherNets(nets: Nets, asked: AnyNet): Promise<OtherNet[]> {
  const load = async (net: Nets[string]) => formsOf(typeof net === "function" ? await net() : net, asked);
  const loaded = await Promise.allSettled(Object.values(nets).map(load));
  return loaded.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
}

function formsOf(definition: AnyNet, asked: AnyNet): OtherNet[] {
  const { rename, weights, imageSize } = definition;
  const name = definition === asked ? `${definition.name} by default` : definition.name;
  const usual: Readonly<Record<string, unknown>> = { ...definition.options, imageSize: imageSize[0] };
  const forms = new Map<string, OtherNet>();
  for (const { options, transforms } of [{} as Partial<PublishedWeights>, ...Object.values(weights)]) {
    const all = Object.entries({ imageSize: transforms?.crop ?? imageSize[0], ...options });
    const given = all.filter(([option, value]) => value !== usual[option]);
    const told = given.map(([option, value]) => `${option}: ${show(value)}`);
    if (forms.has(told.join())) continue;
    const wanted = paramShapes(trace(definition, Object.fromEntries(given)));
    forms.set(told.join(), { name, rename, options: told, wanted });
  }
  const tensors = [...forms.values()].map(({ wanted }) => JSON.stringify([...wanted]));
  return [...forms.values()].filter((_, i) => tensors.indexOf(tensors[i]) === i);
}
