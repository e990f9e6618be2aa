export { avgPool2d } from "./avgpool2d.ts";
export { conv2d } from "./conv2d.ts";
export { flatten } from "./flatten.ts";
export { linear } from "./linear.ts";
export { relu } from "./relu.ts";
export { softmax } from "./softmax.ts";
export { tanh } from "./tanh.ts";
