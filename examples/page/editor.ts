import { make } from "./dom.ts";
import { tokenize } from "./wgsl_tokens.ts";
import type { Diagnostic } from "./worker/playground.ts";

/**
 * A textarea for WGSL, with line numbers, colours and marked lines: the text that is seen lies under the one that is
 * edited, character by character.
 */
export class Editor {
  readonly #text = make("textarea", {
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    wrap: "off",
    "aria-label": "WGSL of the kernel",
    "aria-describedby": "diagnostics",
  });
  readonly #colored = make("pre", { "aria-hidden": "true" });
  readonly #numbers = make("pre", { class: "numbers", "aria-hidden": "true" });
  readonly #messages = make("ul", { id: "diagnostics", "aria-label": "What the compiler says" });
  #marked: readonly Diagnostic[] = [];

  constructor(parent: HTMLElement, onEdit: () => void) {
    parent.append(
      make("div", { class: "code" }, this.#numbers, make("div", { class: "text" }, this.#colored, this.#text)),
      this.#messages,
    );
    this.#text.addEventListener("input", () => {
      this.#show();
      onEdit();
    });
  }

  get value(): string {
    return this.#text.value;
  }

  set value(text: string) {
    this.#text.value = text;
    this.mark([]);
    requestAnimationFrame(() => this.#text.closest(".code")?.scrollTo(0, 0));
  }

  /** Marks lines by what the compiler says of them, and lists it. */
  mark(diagnostics: readonly Diagnostic[]): void {
    this.#marked = diagnostics;
    this.#messages.replaceChildren(...diagnostics.map((each) => this.#listed(each)));
    this.#show();
  }

  #listed({ line, column, type, message }: Diagnostic): HTMLElement {
    if (line === 0) return make("li", { class: type }, message);
    const button = make("button", { type: "button" }, `Line ${line}`);
    button.addEventListener("click", () => this.#goTo(line, column));
    return make("li", { class: type }, button, ` ${message}`);
  }

  #goTo(line: number, column: number): void {
    const lines = this.value.split("\n");
    const at = lines.slice(0, line - 1).reduce((sum, { length }) => sum + length + 1, 0) + Math.max(0, column - 1);
    this.#text.focus();
    this.#text.setSelectionRange(at, at);
    this.#text.closest(".code")?.scrollTo({ top: (line - 6) * lineHeight(this.#text) });
  }

  #show(): void {
    const lines = this.value.split("\n").length;
    const kinds = new Map(this.#marked.map(({ line, type }) => [line, type]));
    this.#numbers.replaceChildren(
      ...Array.from({ length: lines }, (_, i) => {
        const kind = kinds.get(i + 1);
        return make("span", kind ? { class: kind } : {}, `${i + 1}\n`);
      }),
    );
    this.#colored.replaceChildren(
      ...tokenize(this.value).map(({ kind, text }) => (kind ? make("span", { class: kind }, text) : text)),
      // A last line without anything on it has its height, too.
      "\n",
    );
  }
}

const lineHeight = (element: HTMLElement): number => Number.parseFloat(getComputedStyle(element).lineHeight);
