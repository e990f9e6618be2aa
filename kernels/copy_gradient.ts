import type { GradientOf } from "../engine/graph/gradients.ts";
import type { copy } from "./copy.ts";

export const gradient: GradientOf<typeof copy> = ({ dy }) => ({ x: () => dy });
