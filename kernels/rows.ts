// Joined images are NHWC rows of channels, of which each kernel writes a part: see join.ts.

/** Where a kernel writes a row of channels; by default its rows follow each other. */
export interface RowOptions {
  /** Elements from one row to the next, 0 for as many as it has itself. */
  pitch: number;
  /** Elements of a row in front of its own. */
  first: number;
}

export const ROW_OPTIONS: RowOptions = { pitch: 0, first: 0 };

/** The same as fields of `struct Params`, in vec4s, for rows of so many channels. */
export const rowParams = (channels: number, { pitch, first }: RowOptions = ROW_OPTIONS) => ({
  y_pitch: (pitch || channels) / 4,
  y_first: first / 4,
});
