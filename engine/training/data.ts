import { check, isCount, ShapeError, show } from "../ground/errors.ts";

/** Some examples of a dataset, ready for a net. */
export interface Examples {
  /** Elements [N, C, H, W], as the net takes them. */
  readonly images: Float32Array;
  /** The class of each. */
  readonly labels: ArrayLike<number>;
}

/** Labelled images, of which a trainer asks for batches. */
export interface Dataset {
  /** How many there are. */
  readonly size: number;
  /** The names of the classes, in order. */
  readonly classes?: readonly string[];
  /**
   * The examples at these places. `key` is a whole number for training, the same for the same epoch and seed: what is drawn at
   * random for an example (a crop, a flip) follows from it and the example's place. Without it nothing is drawn.
   */
  examples(places: readonly number[], key?: number): Examples | Promise<Examples>;
}

/**
 * A dataset in memory: images [N, C, H, W] one after the other, and the class of each. Throws a UsageError for what is no
 * Float32Array, a ShapeError where there is not the same number of elements for every label.
 */
export function arrays(images: Float32Array, labels: ArrayLike<number>, classes?: readonly string[]): Dataset {
  check(images instanceof Float32Array, "images", images, "a Float32Array");
  const { length: size }: { length?: unknown } = Object(labels);
  if (!isCount(size) || images.length === 0 || images.length % size !== 0)
    throw new ShapeError(`there are ${show(size)} labels for ${images.length} elements of images`);
  const elements = images.length / size;
  return {
    size,
    classes,
    examples(places) {
      const batch = new Float32Array(places.length * elements);
      places.forEach((place, i) => {
        batch.set(images.subarray(place * elements, (place + 1) * elements), i * elements);
      });
      return { images: batch, labels: places.map((place) => labels[place]) };
    },
  };
}
