import type { GradientOf } from "../engine/graph/gradients.ts";
import { channelShuffle } from "./channel_shuffle.ts";

/** Groups of as many channels as there were groups put back what was dealt out. */
export const gradient: GradientOf<typeof channelShuffle> = ({ options, dy }) => ({
  x: () => channelShuffle(dy, { groups: dy.shape[1] / options.groups }),
});
