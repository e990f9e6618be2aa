import { DisposedError, GpuError } from "../../engine/ground/errors.ts";
import { find } from "./dom.ts";

/** Where a view says what it does and what went wrong: its elements NAME-status, NAME-problem, NAME-progress. */
export class Status {
  readonly #line: HTMLElement;
  readonly #problem: HTMLElement;

  constructor(line: HTMLElement, problem: HTMLElement) {
    this.#line = line;
    this.#problem = problem;
  }

  say(text: string): void {
    this.#line.textContent = text;
  }

  /** Shows what went wrong until something goes right. What was given up on purpose is no problem. */
  fail(error: unknown): void {
    if (isGivenUp(error)) return;
    this.#problem.textContent = reasonOf(error);
    this.#problem.hidden = false;
  }

  clear(): void {
    this.#problem.hidden = true;
    this.#problem.textContent = "";
  }
}

/** What was aborted, or ended with the worker that the page has closed. */
export const isGivenUp = (error: unknown): boolean =>
  error instanceof DisposedError || (error instanceof DOMException && error.name === "AbortError");

export const isLost = (error: unknown): boolean => error instanceof GpuError && error.code === "DEVICE_LOST";

/** What went wrong, for people: what the library tells programs to do after a loss, the page does. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return capitalized(inFields(isLost(error) ? error.message.replace(/; open it again.*/, "") : error.message));
}

/** The library names options as programs give them; here the field of that name is meant. */
const inFields = (message: string): string =>
  message.replace(/pass the option numClasses: (\d+)/, "put $1 into the field Classes");

export const capitalized = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** A bar with a button that cancels: work is done under its signal, one at a time. */
export class Progress {
  readonly #row: HTMLElement;
  readonly #bar: HTMLProgressElement;
  #running: AbortController | undefined;

  constructor(row: string, bar: string, cancel: string) {
    this.#row = find(row);
    this.#bar = find(bar, HTMLProgressElement);
    find(cancel).addEventListener("click", () => this.cancel());
  }

  /** Does some work; what was under way before is given up. */
  async during<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.cancel();
    const controller = new AbortController();
    this.#running = controller;
    this.update(0, 0);
    this.#row.hidden = false;
    try {
      return await work(controller.signal);
    } finally {
      if (this.#running === controller) this.#row.hidden = true;
    }
  }

  /** Gives up what is under way. */
  cancel(): void {
    this.#running?.abort();
  }

  update(done: number, total: number): void {
    if (total > 0) this.#bar.value = done / total;
    else this.#bar.removeAttribute("value");
  }
}
