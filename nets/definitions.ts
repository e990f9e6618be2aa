// The nets by their families, each under its own name. nets/families.ts has the same list for what loads them on demand.
export { alexnet, alexnet2012 } from "./alexnet.ts";
export { convnext_base, convnext_large, convnext_small, convnext_tiny } from "./convnext.ts";
export { densenet121, densenet161, densenet169, densenet201 } from "./densenet.ts";
export * from "./efficientnet.ts";
export { googlenet } from "./googlenet.ts";
export { inception_v3 } from "./inception_v3.ts";
export { lenet5 } from "./lenet.ts";
export { maxvit_t } from "./maxvit.ts";
export { mnasnet0_5, mnasnet0_75, mnasnet1_0, mnasnet1_3 } from "./mnasnet.ts";
export { mobilenet_v2 } from "./mobilenet_v2.ts";
export {
  mobilenet_v3_large,
  mobilenet_v3_small,
  mobilenetv3_large_100,
  mobilenetv3_small_100,
} from "./mobilenet_v3.ts";
export * from "./regnet.ts";
export {
  resnet18,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
  resnext50_32x4d,
  resnext101_32x8d,
  resnext101_64x4d,
  wide_resnet50_2,
  wide_resnet101_2,
} from "./resnet.ts";
export { shufflenet_v2_x0_5, shufflenet_v2_x1_0, shufflenet_v2_x1_5, shufflenet_v2_x2_0 } from "./shufflenet_v2.ts";
export { squeezenet1_0, squeezenet1_1 } from "./squeezenet.ts";
export { swin_b, swin_s, swin_t } from "./swin_transformer.ts";
export { swin_v2_b, swin_v2_s, swin_v2_t } from "./swin_transformer_v2.ts";
export { vgg11, vgg11_bn, vgg11_lrn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg16_c, vgg19, vgg19_bn } from "./vgg.ts";
export { vit_b_16, vit_b_32, vit_h_14, vit_l_16, vit_l_32 } from "./vision_transformer.ts";
