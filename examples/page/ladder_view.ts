import { find, make } from "./dom.ts";
import { count, duration } from "./format.ts";
import type { Ladder, Rung } from "./worker/ladder.ts";

/** Shows all ways to compute an operator, the operator's own kernel as 1; the sources of each can be opened. */
export function showLadder(
  { rungs, operator, layer, net, what, clock }: Ladder,
  onOpen: (source: string) => void,
): void {
  const most = Math.max(...rungs.map(({ gain = 0 }) => gain));
  const measured = rungs.filter(({ gain }) => gain !== undefined);
  const others = rungs.filter(({ gain }) => gain === undefined);
  find("ladder").replaceChildren(
    make(
      "p",
      { class: "quiet" },
      `${operator} of ${layer} in ${net}: ${what}; ${clock === "gpu" ? "the GPU's clock" : "wall time"}, without changes of layout.`,
    ),
    make("ol", { class: "rungs", "aria-label": `Ways to compute ${operator}` }, ...measured.map(climbed)),
    make(
      "details",
      { open: "" },
      make("summary", {}, `${others.length} more ${others.length === 1 ? "does" : "do"} not apply here`),
      make(
        "ul",
        {},
        ...others.map(({ variant, reason = "" }) => make("li", {}, make("code", {}, variant), `: ${reason}`)),
      ),
    ),
  );
  find("ladder").lastElementChild?.toggleAttribute("hidden", others.length === 0);

  function climbed({ variant, gain = 0, milliseconds = 0, isTaken, sources }: Rung): HTMLElement {
    const fill = make("span", { class: isTaken ? "fill" : "fill other" });
    fill.style.width = `${(100 * gain) / most}%`;
    const buttons = sources.map((source) => {
      const button = make("button", { type: "button", "aria-label": `Open ${source}` }, source);
      button.addEventListener("click", () => onOpen(source));
      return button;
    });
    return make(
      "li",
      { class: isTaken ? "rung taken" : "rung" },
      make("code", {}, variant),
      make("span", { class: "track", "aria-hidden": "true" }, fill),
      make("span", { class: "figure" }, `${count(gain)} ×`),
      make("span", { class: "quiet" }, duration(milliseconds), isTaken ? ", taken here" : ""),
      make("span", { class: "opens" }, ...buttons),
    );
  }
}
