// What the families of nets have in common: a page loads it while its device opens, so that a family is little more.
export { add } from "../kernels/elementwise/add.ts";
export { relu } from "../kernels/elementwise/relu.ts";
export { flatten } from "../kernels/flatten.ts";
export { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
export { avgPool2d } from "../kernels/pool2d/avgpool2d.ts";
export { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
export { imagenet } from "./imagenet.ts";
export * from "./layers.ts";
