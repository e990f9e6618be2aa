// The nets by their families, each under its own name. nets/families.ts has the same list for what loads them on demand.
export { alexnet, alexnet2012 } from "./alexnet.ts";
export { lenet5 } from "./lenet.ts";
export { resnet18, resnet34, resnet50, resnet101, resnet152 } from "./resnet.ts";
export { vgg11, vgg11_bn, vgg11_lrn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg16_c, vgg19, vgg19_bn } from "./vgg.ts";
