import type { AnyNet } from "../engine/net.ts";
import { alexnet, alexnet2012 } from "./alexnet.ts";
import { lenet5 } from "./lenet.ts";
import { resnet18, resnet34, resnet50, resnet101, resnet152 } from "./resnet.ts";
import { vgg11, vgg11_bn, vgg11_lrn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg16_c, vgg19, vgg19_bn } from "./vgg.ts";

/** Every net by its name. */
export const nets: Readonly<Record<string, AnyNet>> = {
  lenet5,
  alexnet,
  alexnet2012,
  vgg11,
  vgg11_bn,
  vgg11_lrn,
  vgg13,
  vgg13_bn,
  vgg16,
  vgg16_bn,
  vgg16_c,
  vgg19,
  vgg19_bn,
  resnet18,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
};
