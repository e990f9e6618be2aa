import { make } from "./dom.ts";

export interface Bar {
  readonly label: string;
  /** From 0 to 1. */
  readonly share: number;
  /** What stands behind the bar; its share in percent if not said. */
  readonly text?: string;
  /** Whether it is drawn in the second colour. */
  readonly second?: boolean;
}

/**
 * Shows shares as bars in a list that keeps its elements from one answer to the next; one may stand out, by its place. With
 * `onChoose` every bar can be pressed; the one that stands out is, unless `pressed` says another.
 */
export function showBars(
  list: HTMLElement,
  bars: readonly Bar[],
  chosen?: number,
  onChoose?: (index: number) => void,
  pressed = chosen,
): void {
  while (list.children.length > bars.length) list.lastChild?.remove();
  while (list.children.length < bars.length) list.append(makeBar(onChoose !== undefined));
  bars.forEach(({ label, share, text, second = false }, i) => {
    const row = list.children[i].firstElementChild as HTMLElement;
    const [name, track, figure] = [...row.children] as HTMLElement[];
    name.textContent = label;
    const fill = track.firstElementChild as HTMLElement;
    fill.style.setProperty("--share", `${100 * share}%`);
    fill.classList.toggle("second", second);
    figure.textContent = text ?? `${(100 * share).toFixed(1)} %`;
    row.classList.toggle("chosen", i === chosen);
    if (!onChoose) return;
    row.ariaPressed = String(i === pressed);
    row.onclick = () => onChoose(i);
  });
}

function makeBar(isButton: boolean): HTMLElement {
  const parts = [
    make("span", { class: "label" }),
    make("span", { class: "track", "aria-hidden": "true" }, make("span", { class: "fill" })),
    make("span", { class: "figure" }),
  ];
  return make("li", {}, isButton ? make("button", { type: "button" }, ...parts) : make("div", {}, ...parts));
}
