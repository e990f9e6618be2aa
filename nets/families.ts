import type { AnyNet, Nets } from "../engine/definition.ts";

/** The nets of a family by their names, which are loaded when one of them is asked for. */
const family = <M extends Readonly<Record<string, AnyNet>>>(
  load: () => Promise<M>,
  ...names: (keyof M & string)[]
): Nets => Object.fromEntries(names.map((name) => [name, async () => (await load())[name]]));

/** Every net by its name, loaded on demand: for pages, which use few of them. nets/index.ts has them all at once. */
export const families: Nets = {
  ...family(() => import("./lenet.ts"), "lenet5"),
  ...family(() => import("./alexnet.ts"), "alexnet", "alexnet2012"),
  ...family(
    () => import("./vgg.ts"),
    "vgg11",
    "vgg11_bn",
    "vgg11_lrn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg16_c",
    "vgg19",
    "vgg19_bn",
  ),
  ...family(() => import("./resnet.ts"), "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
};
