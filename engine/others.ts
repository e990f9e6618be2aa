import { type AnyNet, type Given, type Nets, type PublishedWeights, publishedOf, trace } from "./definition.ts";
import { paramShapes } from "./graph/graph.ts";
import { isTexts, show } from "./ground/errors.ts";
import { isStream } from "./weights/checkpoint.ts";
import type { OtherNet } from "./weights/match.ts";
import { isCheckpoint } from "./weights/sources.ts";

/**
 * Every net there is with the tensors that it wants, again for the options and sizes of images of its published weights where
 * they are others under these: for an error to tell whose a checkpoint is. What cannot be loaded or built is left out.
 */
export async function otherNets(nets: Nets, asked: AnyNet): Promise<OtherNet[]> {
  const load = async (net: Nets[string]) => formsOf(typeof net === "function" ? await net() : net, asked);
  const loaded = await Promise.allSettled(Object.values(nets).map(load));
  return loaded.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
}

/**
 * What a net is to be loaded with after this error: for as many classes as its weights have, or as labels are given, where
 * nothing else says how many. Throws the error where that is not what was wrong.
 */
export function withClasses(
  definition: AnyNet,
  given: Given & { readonly numClasses?: unknown },
  error: Error & { readonly classes?: number },
): Given {
  // Nothing at all may have been given, which is what was wrong then.
  const { weights, labels, numClasses }: Partial<typeof given> = given ?? {};
  const named = isTexts(labels) && labels.length !== definition.options.numClasses ? labels.length : undefined;
  const classes = error.classes ?? named;
  const isOpen = classes && numClasses === undefined && weights !== undefined && !publishedOf(definition, given);
  // By then a stream was read, and a checkpoint was closed.
  if (!isOpen || isStream(weights) || isCheckpoint(Object(weights))) throw error;
  return { ...given, numClasses: classes };
}

/** What each net wants: to build all of them takes a second. */
const known = new WeakMap<AnyNet, OtherNet[]>();

function formsOf(definition: AnyNet, asked: AnyNet): OtherNet[] {
  const forms = known.get(definition) ?? buildForms(definition);
  known.set(definition, forms);
  return definition === asked ? forms.map((form) => ({ ...form, name: `${form.name} by default` })) : forms;
}

function buildForms(definition: AnyNet): OtherNet[] {
  const { name, rename, weights, imageSize } = definition;
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
