import type { GradientOf } from "../engine/graph/gradients.ts";
import { roll } from "./roll.ts";

export const gradient: GradientOf<typeof roll> = ({ options: { shifts, dims }, dy }) => ({
  x: () => roll(dy, { shifts: [shifts].flat().map((shift) => -shift), dims }),
});
