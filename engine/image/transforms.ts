/** How a resized sample is weighed of its neighbours: Pillow's BILINEAR or BICUBIC, both antialiased. */
export type Interpolation = "bilinear" | "bicubic";

/** How a net wants its pictures: sizes in pixels, mean and standard deviation per channel on the scale 0 to 1. */
export interface Transforms {
  /** What the shorter side is resized to. */
  readonly resize: number;
  /** The side of the square that is cut from the middle. */
  readonly crop: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** "bilinear" if it is left out. */
  readonly interpolation?: Interpolation;
}

/** What torchvision's ImageNet classifiers were trained with. */
export const IMAGENET: Transforms = { resize: 256, crop: 224, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/**
 * Transforms for images of another side, where the proportion between what is resized and what is cut out stays, and for
 * grey ones, which have the mean of the colours' means and of their deviations.
 */
export function fitTransforms(transforms: Transforms, side: number, channels: number): Transforms {
  const { resize, crop, mean, std } = transforms;
  const fit = { ...transforms, resize: Math.round((resize * side) / crop), crop: side };
  return channels === 1 ? { ...fit, mean: [average(mean)], std: [average(std)] } : fit;
}

const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
