/** How a net wants its pictures: sizes in pixels, mean and standard deviation per channel on the scale 0 to 1. */
export interface Transforms {
  /** What the shorter side is resized to. */
  readonly resize: number;
  /** The side of the square that is cut from the middle. */
  readonly crop: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** What torchvision's ImageNet classifiers were trained with. */
export const IMAGENET: Transforms = { resize: 256, crop: 224, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
