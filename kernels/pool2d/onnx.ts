import { floats, integers, type OnnxOperand, type OnnxOperation, operation } from "../../engine/graph/onnx.ts";
import type { Shape } from "../../engine/ground/tensor.ts";
import type { AvgPool2dOptions } from "./avgpool2d.ts";
import { type PoolOptions, poolGeometry } from "./geometry.ts";
import type { MaxPool2dOptions } from "./maxpool2d.ts";

// The poolings as ONNX's operators.

/** Puts `value` around images; `padding` is [top, left, bottom, right]. */
export const padImages = (
  x: OnnxOperand,
  [top, left, bottom, right]: readonly number[],
  value: number,
): OnnxOperation => operation("Pad", [x, integers([0, 0, top, left, 0, 0, bottom, right]), floats([value])]);

/**
 * How far the windows reach over the image at its [top, left, bottom, right]: the padding, and what ceilMode's last
 * windows need beyond it. ONNX's own ceil_mode is not used, since runtimes differ in what they make of it.
 */
function reachOf(x: Shape, y: Shape, options: PoolOptions): number[] {
  const { kernel, stride, padding, dilation } = poolGeometry("pooling", options);
  const ends = padding.map((side, d) => {
    const end = (y[2 + d] - 1) * stride[d] + dilation[d] * (kernel[d] - 1) + 1;
    return Math.max(side, end - x[2 + d] - side);
  });
  return [...padding, ...ends];
}

export function maximum(x: string, input: Shape, output: Shape, options: MaxPool2dOptions): OnnxOperation {
  const { kernel, stride, dilation } = poolGeometry("maxpool2d", options);
  const reach = reachOf(input, output, options);
  const attributes = { kernel_shape: kernel, strides: stride, dilations: dilation };
  // Runtimes refuse a padding of the kernel's size, which a dilated window can have.
  if (reach.some((side, i) => side >= kernel[i % 2])) {
    return operation("MaxPool", [padImages(x, reach, -Infinity)], attributes);
  }
  return operation("MaxPool", [x], { ...attributes, pads: reach });
}

export function average(x: string, input: Shape, output: Shape, options: AvgPool2dOptions): OnnxOperation {
  const { kernel, stride, padding } = poolGeometry("avgpool2d", options);
  const { countIncludePad, divisorOverride } = options;
  const attributes = { kernel_shape: kernel, strides: stride };
  const reach = reachOf(input, output, options);
  const both = [...padding, ...padding];
  if (divisorOverride !== null) {
    const mean = operation("AveragePool", [x], { ...attributes, pads: reach, count_include_pad: 1 });
    return operation("Mul", [mean, floats([(kernel[0] * kernel[1]) / divisorOverride])]);
  }
  const counted = countIncludePad && both.some((side) => side > 0);
  if (!counted || String(reach) === String(both)) {
    return operation("AveragePool", [x], { ...attributes, pads: reach, count_include_pad: counted ? 1 : 0 });
  }
  // The padding counts, but not what ceilMode's last windows need beyond it.
  const beyond = reach.map((side, i) => side - both[i]);
  return operation("AveragePool", [padImages(x, both, 0)], { ...attributes, pads: beyond, count_include_pad: 0 });
}

/** The first row (or column) of a window, and the one behind its last. */
type Window = readonly [start: number, end: number];

/** PyTorch's windows of an adaptive pooling. */
const adaptiveWindows = (input: number, output: number): Window[] =>
  Array.from({ length: output }, (_, i) => [Math.floor((i * input) / output), Math.ceil(((i + 1) * input) / output)]);

/** Size and stride of windows that are all alike, else undefined. */
function regular(windows: readonly Window[]): { size: number; stride: number } | undefined {
  const size = windows[0][1];
  const stride = windows.length > 1 ? windows[1][0] : 1;
  const alike = windows.every(([start, end], i) => start === i * stride && end === start + size);
  return alike && stride > 0 ? { size, stride } : undefined;
}

export function adaptiveAverage(x: string, input: Shape, output: Shape): OnnxOperation {
  const [rows, columns] = [adaptiveWindows(input[2], output[2]), adaptiveWindows(input[3], output[3])];
  const [vertical, horizontal] = [regular(rows), regular(columns)];
  if (rows.length === 1 && columns.length === 1) return operation("GlobalAveragePool", [x]);
  if (vertical?.size === 1 && horizontal?.size === 1) return operation("Identity", [x]);
  if (vertical && horizontal) {
    const attributes = {
      kernel_shape: [vertical.size, horizontal.size],
      strides: [vertical.stride, horizontal.stride],
    };
    return operation("AveragePool", [x], attributes);
  }
  // Nothing in ONNX has windows of several sizes: two matrices average over rows and over columns.
  const share = ([start, end]: Window, i: number) => (i >= start && i < end ? 1 / (end - start) : 0);
  const overRows = rows.flatMap((window) => Array.from({ length: input[2] }, (_, i) => share(window, i)));
  const overColumns = Array.from({ length: input[3] }, (_, i) => columns.map((window) => share(window, i))).flat();
  const left = floats(overRows, [output[2], input[2]]);
  const right = floats(overColumns, [input[3], output[3]]);
  return operation("MatMul", [operation("MatMul", [left, x]), right]);
}
