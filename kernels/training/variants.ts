import type { Value } from "../../engine/graph/value.ts";
import type { AnyVariant, Variants } from "../../engine/graph/variant.ts";
import { rowsOf, sameShape } from "../../engine/ground/tensor.ts";
import { exchangeNhwcVariant } from "../conv2d/exchange.ts";
import { anyLayout, asNchw, asNhwc, averaged, isNhwc, NO_IMAGES, nhwc, wholeVectors } from "../layout/layout.ts";
import { avgPool2dGradientNhwcVariant, maxPool2dGradientNhwcVariant } from "../pool2d/gradient_nhwc.ts";
import { common } from "../variants_common.ts";
import { onVectors } from "../vectors.ts";

/** Gradients change layouts themselves: what a fast kernel has made in NHWC is there already. */
const asItWas: AnyVariant = {
  name: "as_it_was",
  nhwc: true,
  refuses: (_call, _setting, { x }: { x: Value }) => (isNhwc(x) ? undefined : "its image is none in NHWC"),
  build: ({ x }: { x: Value }) => asNhwc(x),
};

/** Who packs images as filters reads them as they are: see packOf(). */
const asFilters: AnyVariant = {
  name: "as_filters",
  nhwc: true,
  layoutOnly: true,
  refuses: ({ shapes: { x }, options: { dims } }) =>
    sameShape(dims, [1, 0, 2, 3]) && wholeVectors(x) ? undefined : "it exchanges no channels of images",
  gains: (_call, _setting, { x }: { x: Value }) => isNhwc(x),
  build: ({ x }: { x: Value }, { options }, _setting, plain) => plain(x, options),
};

/** Kernels that know no more of images [N, C, H, W] than their channels take NHWC ones as rows [N H W, C], in vec4s. */
const rows = nhwc({
  refuses: ({ shapes: { x } }) => (x.length === 4 && wholeVectors(x) ? undefined : NO_IMAGES),
  build(inputs: Readonly<Record<string, Value>>, { shapes, options, y }, _setting, plain) {
    const { graph } = inputs.x;
    const image = asNhwc(inputs.x).shape;
    const flat = (value: Value | undefined) =>
      value && sameShape(value.shape, shapes.x) ? graph.reshape(asNhwc(value), [rowsOf(image), image[3]]) : value;
    const result = onVectors(plain, ...plain.inputs.map((name) => flat(inputs[name.replace("?", "")])))(options);
    return sameShape(y, shapes.x) ? asNchw(graph.reshape(result, image)) : result;
  },
});

/** Those that only training has, in the layouts of the fast kernels between which they stand. */
export const variants: Variants = {
  exchange: [exchangeNhwcVariant],
  permute: [...(common.permute ?? []), asFilters],
  to_nhwc: [asItWas],
  activation_gradient: [anyLayout],
  avgpool2d_gradient: [avgPool2dGradientNhwcVariant],
  batchnorm_gradient: [rows],
  batchnorm_gradient_sums: [rows],
  batchnorm_statistics: [rows],
  batchnorm_train: [rows],
  maxpool2d_gradient: [maxPool2dGradientNhwcVariant],
  sum: [averaged],
};
