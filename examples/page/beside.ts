import type { Figures, NetFigures } from "../../engine/tuning/figures.ts";
import { adapterName, readFigures } from "../../engine/tuning/read_figures.ts";
import { type Bar, showBars } from "./bars.ts";
import { find, make } from "./dom.ts";
import { duration } from "./format.ts";

/** What nets can be compared by. */
export const MEASURES = ["warm", "first"] as const;
export type Measure = (typeof MEASURES)[number];

/** A net that was measured here, or is to be. */
export interface Own {
  readonly net: string;
  /** Milliseconds; nothing before it is measured. */
  readonly times?: Readonly<Record<Measure, number>>;
}

/** Larger files are none of figures. */
const MOST_BYTES = 5e6;

/** A net in one word or two. */
const nameOf = ({ net, batch, dtype }: NetFigures): string =>
  [net, ...(batch > 1 ? [`batch ${batch}`] : []), ...(dtype === "f32" ? [] : [dtype])].join(", ");

/** Nets side by side, those of others' files among them. */
export class Beside {
  readonly #onChoose: (net: string) => void;
  readonly #onChange: () => void;
  #files: { readonly name: string; readonly figures: Figures }[] = [];

  constructor(onChoose: (net: string) => void, onChange: () => void) {
    this.#onChoose = onChoose;
    this.#onChange = onChange;
  }

  /** Takes a file of figures, in place of the same one. Throws a FileError that says what is wrong with it. */
  async take(file: File): Promise<void> {
    const figures = file.size > MOST_BYTES ? undefined : readFigures(await file.text(), file.name);
    if (!figures) {
      throw new Error(
        `${file.name} has no figures of nets; wanted a file of "Save figures" or of shadenet bench --json`,
      );
    }
    const key = ({ date, adapter }: Figures) => `${date} ${adapterName({ adapter })}`;
    this.#files = [...this.#files.filter((each) => key(each.figures) !== key(figures)), { name: file.name, figures }];
    this.#listFiles();
    this.#onChange();
  }

  #listFiles(): void {
    find("time-files").replaceChildren(
      ...this.#files.map((each) => {
        const { figures, name } = each;
        const { runtime, os, date, nets, failed } = figures;
        const counts = [
          `${nets.length} ${nets.length === 1 ? "net" : "nets"}`,
          ...(failed.length ? [`${failed.length} failed`] : []),
        ];
        const about = [name, runtime, os, date.slice(0, 10), ...counts].map(plain).filter(Boolean);
        const button = make("button", { type: "button", "aria-label": `Remove ${name}` }, "Remove");
        button.addEventListener("click", () => {
          this.#files = this.#files.filter((other) => other !== each);
          this.#listFiles();
          this.#onChange();
        });
        const swatch = make("span", { class: "swatch fill second", "aria-hidden": "true" });
        const title = make("strong", {}, plain(adapterName(figures)));
        return make(
          "li",
          {},
          swatch,
          make("span", {}, title, make("span", { class: "quiet" }, about.join(" · "))),
          button,
        );
      }),
    );
  }

  /** Shows bars of all nets, those that are here first; `shown` stands out. */
  show(own: readonly Own[], shown: string, measure: Measure): void {
    const others = this.#files.flatMap(({ figures }) =>
      figures.nets.map((net) => ({ net, adapter: plain(adapterName(figures)) })),
    );
    const names = [...new Set([...own.map(({ net }) => net), ...others.map(({ net }) => net.net)])];
    const entries = names.flatMap((name) => [
      ...own
        .filter(({ net }) => net === name)
        .map(({ times }) => ({ name, label: name, value: times?.[measure], isOwn: true, pending: !times })),
      ...others
        .filter(({ net }) => net.net === name)
        .map(({ net, adapter }, i) => {
          // Below its name the adapter comes first: who has less room sees that.
          const isBelow = (i > 0 || own.some((each) => each.net === name)) && nameOf(net) === name;
          const label = isBelow ? `${adapter} · ${name}` : `${nameOf(net)} · ${adapter}`;
          return { name, label, value: measure === "warm" ? net.medianMs : net.coldMs, isOwn: false, pending: false };
        }),
    ]);
    const most = Math.max(...entries.map(({ value = 0 }) => value)) || 1;
    const bars = entries.map(({ label, value, isOwn, pending }): Bar => {
      const text = value === undefined ? (pending ? "not yet" : "not told") : duration(value);
      return { label, share: (value ?? 0) / most, text, second: !isOwn };
    });
    const chosen = entries.findIndex(({ name, isOwn }) => isOwn && name === shown);
    showBars(find("beside"), bars, chosen, (i) => this.#onChoose(entries[i].name));
  }
}

/** What somebody sent, as text that stays on its line and cannot turn it round. */
const plain = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").slice(0, 120);
