import { make } from "./dom.ts";

/** What is seen on the picture of each view: see tests/page/record.ts, which takes them. */
export const RECORDINGS = {
  digits:
    "Digits: a handwritten 3 and the answer 3. The net beside it as a flow from the input to the ten outputs, each stage as maps; one value is pointed at, and below stand its patch, its filter, their product, the sum and the bias.",
  train:
    "Train: the loss falls and the share of digits read correctly rises towards 100 %, while training and on digits never seen; below are the six filters as they are and as they began, and the hardest mistakes.",
  teach:
    "Teach: classes with their examples, a net trained on them in seconds, its answer for one more picture as bars, and the table of what it confuses.",
  images:
    "Images: a photo of a cat with a heat map over what the answer rests on and its scale, the net to choose, and the five most probable classes as bars; the weights are random, as it says.",
  time: "Time: how long each layer of a net takes on the GPU as bars, its GFLOP/s, and its share of what the device can do at most.",
  kernels:
    "Kernels: the WGSL of a convolution in an editor, and beside it that it compiles, agrees with its reference, and how its time compares with the one that is shipped.",
  how: "One image through graph, passes, variants, plan and dispatch: a table in which batch norms, sums and activations go into the convolutions in front of them.",
} as const;

export type Recorded = keyof typeof RECORDINGS;

/** Puts the picture of a view into a panel, in place of what it cannot do; a browser loads it when it is seen. */
export function showRecording(panel: HTMLElement, view: Recorded): void {
  panel.classList.add("recorded");
  if (panel.querySelector(".recording")) return;
  const dark = make("source", { srcset: `recorded/${view}-dark.webp`, media: "(prefers-color-scheme: dark)" });
  const image = make("img", {
    src: `recorded/${view}.webp`,
    alt: RECORDINGS[view],
    loading: "lazy",
    width: "1280",
    height: "720",
  });
  panel.append(
    make(
      "figure",
      { class: "recording" },
      make("figcaption", {}, "A picture of a real run, since nothing can run here:"),
      // A phone shows it larger.
      make("a", { href: `recorded/${view}.webp` }, make("picture", {}, dark, image)),
    ),
  );
}
