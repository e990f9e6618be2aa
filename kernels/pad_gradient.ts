import type { GradientOf } from "../engine/graph/gradients.ts";
import { around, pad } from "./pad.ts";

export const gradient: GradientOf<typeof pad> = ({ options, dy }) => ({
  x() {
    const [top, left, bottom, right] = around(options.padding);
    return pad(dy, { padding: [-top, -left, -bottom, -right] });
  },
});
