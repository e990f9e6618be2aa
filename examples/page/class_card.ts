import { make } from "./dom.ts";
import { type Sample, thumbnail } from "./samples.ts";

/** More samples of one class nobody needs here, and a phone may not hold. */
const MOST = 100;

/** What a card asks for. */
export interface CardActions {
  /** Samples came or went, or the name is another. */
  onChange(card: ClassCard, kind: "samples" | "name"): void;
  onFiles(card: ClassCard, files: readonly File[]): void;
  /** The button that adds was pressed. */
  onAdd(card: ClassCard): void;
  /** It is held down: samples are wanted until it is let go. */
  onHold(card: ClassCard | undefined): void;
  onRemove(card: ClassCard): void;
}

/** A class: its name, its samples, and what adds to them. */
export class ClassCard {
  readonly element: HTMLElement;
  readonly #name: HTMLInputElement;
  readonly #count = make("span", { class: "quiet" });
  readonly #list = make("ul", { class: "thumbnails" });
  readonly #add = make("button", { class: "stretch", type: "button" });
  readonly #remove = make("button", { type: "button", class: "remove" }, "×");
  readonly #actions: CardActions;
  #samples: readonly Sample[] = [];

  constructor(name: string, actions: CardActions) {
    this.#actions = actions;
    this.#name = make("input", { class: "class-name", type: "text", maxlength: "40", value: name, required: "" });
    const picker = make("input", { type: "file", accept: "image/*", multiple: "", hidden: "" });
    const choose = make("button", { class: "stretch", type: "button" }, "Files …");
    this.element = make(
      "li",
      { class: "class" },
      make("div", { class: "class-head" }, this.#name, this.#remove),
      this.#count,
      this.#list,
      make("div", { class: "row adding" }, this.#add, choose, picker),
    );
    this.#name.addEventListener("input", () => actions.onChange(this, "name"));
    this.#remove.addEventListener("click", () => actions.onRemove(this));
    choose.addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => {
      actions.onFiles(this, [...(picker.files ?? [])]);
      picker.value = "";
    });
    this.#takeDrops();
    this.#watchHold();
    this.#list.addEventListener("keydown", (event) => this.#steer(event));
    this.#show();
  }

  get name(): string {
    return this.#name.value.trim();
  }

  set name(name: string) {
    this.#name.value = name;
  }

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /** Its place among the others, from 0, what its button does, and whether there may be one class less. */
  place(index: number, add: string, isRemovable: boolean): void {
    const name = this.name || `Class ${index + 1}`;
    this.element.style.setProperty("--colour", `var(--class-${index})`);
    this.#name.ariaLabel = `Name of class ${index + 1}`;
    this.#remove.ariaLabel = this.#remove.title = `Remove the class ${name}`;
    this.#remove.disabled = !isRemovable;
    this.#add.textContent = add;
    this.#list.ariaLabel = `Samples of ${name}`;
  }

  /** Adds samples, as many as there may be; returns how many. */
  add(samples: readonly Sample[]): number {
    const some = samples.slice(0, MOST - this.#samples.length);
    this.#samples = [...this.#samples, ...some];
    this.#list.append(...some.map((sample) => this.#thumbnail(sample)));
    this.#show();
    if (some.length > 0) this.#actions.onChange(this, "samples");
    return some.length;
  }

  #thumbnail(sample: Sample): HTMLElement {
    const canvas = thumbnail(sample, make("canvas", { "aria-hidden": "true" }));
    const button = make("button", { class: "thumbnail", type: "button", title: "Remove" }, canvas);
    button.addEventListener("click", () => this.#drop(sample, button));
    return make("li", {}, button);
  }

  #drop(sample: Sample, button: HTMLElement): void {
    const buttons = this.#buttons();
    const place = buttons.indexOf(button as HTMLButtonElement);
    const next = buttons[place + 1] ?? buttons[place - 1] ?? this.#add;
    if (button === document.activeElement) next.focus();
    button.parentElement?.remove();
    this.#samples = this.#samples.filter((each) => each !== sample);
    this.#show();
    this.#actions.onChange(this, "samples");
  }

  #buttons(): HTMLButtonElement[] {
    return [...this.#list.querySelectorAll("button")];
  }

  /** One of the thumbnails can be reached by Tab, the others by the arrow keys from there. */
  #show(): void {
    const { length } = this.#samples;
    this.#count.textContent = length === 0 ? "No samples yet" : `${length} ${length === 1 ? "sample" : "samples"}`;
    const buttons = this.#buttons();
    const reached = buttons.find((button) => button === document.activeElement) ?? buttons[0];
    for (const [i, button] of buttons.entries()) {
      button.ariaLabel = `Remove sample ${i + 1}`;
      button.tabIndex = button === reached ? 0 : -1;
    }
  }

  #steer(event: KeyboardEvent): void {
    const buttons = this.#buttons();
    const place = buttons.indexOf(document.activeElement as HTMLButtonElement);
    if (place < 0) return;
    if (event.key === "Delete" || event.key === "Backspace") buttons[place].click();
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    buttons[Math.max(0, Math.min(to, buttons.length - 1))].focus();
    this.#show();
  }

  #takeDrops(): void {
    const { element } = this;
    const over = (isOver: boolean) => () => element.classList.toggle("over", isOver);
    element.addEventListener("dragover", over(true));
    element.addEventListener("dragleave", over(false));
    element.addEventListener("drop", (event) => {
      over(false)();
      this.#actions.onFiles(this, [...(event.dataTransfer?.files ?? [])]);
    });
  }

  /** A pointer or a key that is held; a click by other means holds for a moment. */
  #watchHold(): void {
    const button = this.#add;
    let isHeld = false;
    let wasHeld = false;
    const begin = () => {
      if (isHeld) return;
      isHeld = wasHeld = true;
      this.#actions.onHold(this);
    };
    const end = () => {
      if (!isHeld) return;
      isHeld = false;
      this.#actions.onHold(undefined);
    };
    button.addEventListener("pointerdown", (event) => {
      if (event.button === 0) begin();
    });
    for (const kind of ["pointerup", "pointercancel", "pointerleave", "keyup", "blur"])
      button.addEventListener(kind, end);
    button.addEventListener("keydown", ({ key }) => {
      if (key === " " || key === "Enter") begin();
    });
    button.addEventListener("click", () => {
      if (!wasHeld) {
        begin();
        end();
      }
      wasHeld = false;
      this.#actions.onAdd(this);
    });
    // A long touch is no question for a menu.
    button.addEventListener("contextmenu", (event) => event.preventDefault());
  }
}
