/** MNIST's images are 28 x 28 pixels. */
export const SIDE = 28;

/** The 28 x 28 pixels inside LeNet-5's padded and normalized input, back on the scale 0 to 1. */
export function greyLevels(input: Float32Array): number[][] {
  const side = Math.sqrt(input.length);
  const border = (side - SIDE) / 2;
  let [least, most] = [Infinity, -Infinity];
  for (const value of input) [least, most] = [Math.min(least, value), Math.max(most, value)];
  const level = (value: number) => (value - least) / (most - least || 1);
  return Array.from({ length: SIDE }, (_, y) => {
    const start = (y + border) * side + border;
    return Array.from(input.subarray(start, start + SIDE), level);
  });
}

/** Two rows of pixels per line: in grey where there are 256 colours, else black and white. */
export function drawDigit(pixels: readonly (readonly number[])[], depth: number): string[] {
  const lines: string[] = [];
  for (let y = 0; y < pixels.length; y += 2) {
    const [upper, lower] = [pixels[y], pixels[y + 1]];
    lines.push(depth >= 8 ? greyLine(upper, lower) : upper.map((v, x) => blackOrWhite(v, lower[x])).join(""));
  }
  return lines;
}

const blackOrWhite = (upper: number, lower: number): string => " ▀▄█"[Number(upper > 0.4) + 2 * Number(lower > 0.4)];

/**
 * xterm's colours 232 to 255 are greys. The lighter half of a cell is drawn and the darker one is its background, so that
 * the digit can be read in the bare characters, too.
 */
function greyLine(upper: readonly number[], lower: readonly number[]): string {
  const grey = (level: number) => 232 + Math.round(level * 23);
  let [line, last] = ["", ""];
  upper.forEach((level, x) => {
    const [top, bottom] = [grey(level), grey(lower[x])];
    const [light, dark] = [Math.max(top, bottom), Math.min(top, bottom)];
    const colours = `\x1b[38;5;${light};48;5;${dark}m`;
    const block = top > bottom ? "▀" : top < bottom ? "▄" : blackOrWhite(level, level);
    line += colours === last ? block : colours + block;
    last = colours;
  });
  return `${line}\x1b[0m`;
}
