import type { Progress as LoadProgress } from "../../engine/ground/options.ts";
import { find, make } from "./dom.ts";
import { count, megabytes } from "./format.ts";
import type { Page } from "./main.ts";
import { FAMILIES } from "./nets.ts";
import { capitalized, isLost, Progress, type Status } from "./status.ts";
import { isShown, stateOf } from "./tabs.ts";
import type { WeightsChoice } from "./worker/load_model.ts";
import type { Building, LoadedNet, NetDescription, PublishedFile } from "./worker/looking.ts";

/** The choice of an ONNX model of the visitor's own. */
const OWN = "";

const isModel = ({ name }: Partial<File>): boolean => /\.onnx$/i.test(name ?? "");

/** The smallest net whose weights a page may read where they are published. */
const FIRST = "mobilenetv3_small_100";

/** The choice of a net and its weights. One net is loaded at a time: another choice gives up what is under way. */
export class NetForm {
  readonly #page: Page;
  readonly #status: Status;
  readonly #onChange: () => void;
  readonly #choice = find("net", HTMLSelectElement);
  readonly #classes = find("num-classes", HTMLInputElement);
  readonly #names = find("class-names", HTMLTextAreaElement);
  readonly #file = find("weights-file", HTMLInputElement);
  readonly #progress = new Progress("images-progress", "images-bar", "cancel-load");
  #description: NetDescription | undefined;
  /** What is loaded, or shall be. */
  #weights: WeightsChoice | undefined;
  #loaded: LoadedNet | undefined;
  /** An ONNX model that was chosen: a net among the others. */
  #model: File | undefined;
  readonly #own = make("option", { value: OWN });

  /** `onChange` is called when another net is described, loaded or gone. */
  constructor(page: Page, status: Status, onChange: () => void) {
    this.#page = page;
    this.#status = status;
    this.#onChange = onChange;
    this.#choice.append(...Object.entries(FAMILIES).map(([family, nets]) => optionsOf(family, nets)));
    this.#choice.value = FIRST;
    this.#restore();
    addEventListener("hashchange", () => {
      if (this.#restore()) this.#choose();
    });
    this.#choice.addEventListener("change", () => {
      this.#classes.value = this.#names.value = "";
      this.#choose();
    });
    this.#classes.addEventListener("change", () => this.#choose());
    this.#names.addEventListener("change", () => this.#rename());
    find("random-weights").addEventListener("click", () => this.load({ random: true }));
    find("choose-weights").addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => {
      if (this.#file.files?.[0]) this.loadFile(this.#file.files[0]);
      this.#file.value = "";
    });
    find("weights-link").addEventListener("submit", (event) => {
      event.preventDefault();
      this.load({ url: find("weights-url", HTMLInputElement).value });
    });
    page.onReopen(() => this.#reload());
    this.#choose();
  }

  /** What is known of the net that is chosen. */
  get description(): NetDescription | undefined {
    return this.#description;
  }

  get isLoaded(): boolean {
    return this.#loaded !== undefined;
  }

  /** Names of the classes, as far as there are any: those that were typed, or of the net that is loaded. */
  get labels(): readonly string[] {
    const own = this.#ownLabels;
    return own.length > 0 ? own : (this.#loaded?.labels ?? []);
  }

  /** Takes the names of classes from a file: lines, or a list as JSON. */
  async readNames(file: File): Promise<void> {
    const text = await file.text();
    try {
      const list: unknown = JSON.parse(text);
      this.#names.value = Array.isArray(list) ? list.map(String).join("\n") : text;
    } catch {
      this.#names.value = text;
    }
    find("own-weights", HTMLDetailsElement).open = true;
    this.#rename();
  }

  get #ownLabels(): string[] {
    return this.#names.value
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
  }

  /** As many classes as there are names. */
  #rename(): void {
    const { length } = this.#ownLabels;
    this.#classes.value = length > 0 && length !== this.#description?.numClasses ? String(length) : "";
    this.#choose();
  }

  /** Takes the net that the address names, if there is such a one. Returns whether it is another one. */
  #restore(): boolean {
    const wanted = isShown("images") ? stateOf(location.hash).get("net") : null;
    const isNet = Object.values(FAMILIES).some((nets) => wanted !== null && Object.hasOwn(nets, wanted));
    if (!isNet || wanted === null || wanted === this.#choice.value) return false;
    this.#choice.value = wanted;
    return true;
  }

  /** Describes the net that was chosen. Noise is replaced by noise at once, other weights are another net's. */
  async #choose(): Promise<void> {
    const again = this.#weights && "random" in this.#weights ? this.#weights : undefined;
    this.#unload();
    this.#status.clear();
    const model = this.#chosenModel;
    this.#classes.disabled = model !== undefined;
    if (model) {
      if (isShown("images")) history.replaceState(null, "", "#images");
      await this.load({ model });
      return;
    }
    const [net, { numClasses }] = [this.#choice.value, this.#building];
    if (isShown("images")) history.replaceState(null, "", `#images?net=${net}`);
    try {
      const gpu = await this.#page.session.open();
      const description = await gpu.call<NetDescription>("describe", [net, { numClasses }]);
      if (net !== this.#choice.value || numClasses !== this.#building.numClasses) return;
      this.#description = description;
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#describe(this.#description);
    this.#checkNames(numClasses ?? this.#description.numClasses);
    if (again) await this.load(again);
    else this.#status.say("Nothing is downloaded unasked.");
    this.#onChange();
  }

  /** The visitor's ONNX model, where that is chosen. */
  get #chosenModel(): File | undefined {
    return this.#choice.value === OWN ? this.#model : undefined;
  }

  #checkNames(classes: number): void {
    const own = this.#ownLabels.length;
    if (own > 0 && own !== classes)
      this.#status.fail(new Error(`${own} names for ${classes} classes: give one for each, a line for each`));
  }

  /** What is asked for in place of the net's own; a field without a number asks for nothing. */
  get #building(): Building {
    return this.#classes.value === "" || this.#chosenModel ? {} : { numClasses: this.#classes.valueAsNumber };
  }

  #describe({ name, numClasses, parameters, multiplyAdds, bytes, published }: NetDescription): void {
    find("net-text").textContent =
      `${count(parameters / 1e6)} million parameters, ${many(multiplyAdds)} multiply-adds.`;
    this.#classes.placeholder = String(numClasses);
    const usual = published.at(-1);
    const others = published.slice(0, -1).filter(({ readable }) => readable);
    find("published").replaceChildren(
      ...(usual
        ? this.#offer(name, usual, bytes)
        : [make("span", { class: "quiet" }, this.#chosenModel ? "" : "No weights of it are published.")]),
    );
    find("other-published").replaceChildren(
      ...others.map((file) => this.#button(`Load ${file.name}, ${megabytes(bytes)}`, file)),
    );
  }

  /** How to come to published weights: by a press, or, where their server lets no page read them, by one's own hands. */
  #offer(net: string, file: PublishedFile, bytes: number): Node[] {
    const { url, readable } = file;
    if (readable) {
      const button = this.#button(`Load ${net}, ${megabytes(bytes)}`, file);
      button.classList.add("primary");
      return [button, make("span", { class: "quiet" }, `from ${placeOf(readable)}, kept for the next visit`)];
    }
    const link = make(
      "a",
      { href: url, class: "button primary", download: "" },
      `Save its weights, ${megabytes(bytes)}`,
    );
    const choose = make("button", { type: "button" }, "Then choose the file …");
    choose.addEventListener("click", () => this.#file.click());
    return [
      link,
      choose,
      make("span", { class: "quiet" }, `${new URL(url).host} lets no page read its files: save it first`),
    ];
  }

  #button(text: string, { name, readable = "" }: PublishedFile): HTMLElement {
    const button = make("button", { type: "button", title: readable }, text);
    button.addEventListener("click", () => this.load({ published: name }));
    return button;
  }

  async #reload(): Promise<void> {
    // Another object: what has failed with the old worker is not what is loaded now.
    if (this.#weights) await this.load({ ...this.#weights });
    else await this.#choose();
  }

  /** Weights for the net that is chosen, or an ONNX model, which is another net. */
  async loadFile(file: File): Promise<void> {
    if (!isModel(file)) return this.load({ file });
    this.#model = file;
    this.#own.textContent = file.name;
    if (!this.#own.isConnected) this.#choice.append(make("optgroup", { label: "Your own" }, this.#own));
    this.#choice.value = OWN;
    this.#classes.value = this.#names.value = "";
    await this.#choose();
  }

  async load(choice: WeightsChoice): Promise<void> {
    const net = "model" in choice ? (this.#model?.name ?? "") : this.#choice.value;
    const weights = "file" in choice ? { ...choice, published: this.#publishedAs(choice.file) } : choice;
    this.#unload();
    this.#weights = weights;
    this.#status.clear();
    this.#status.say(`Loading ${net} …`);
    const begun = performance.now();
    try {
      const loaded = await this.#progress.during(async (signal) => {
        const gpu = await this.#page.session.open();
        const onProgress = (progress: LoadProgress) => this.#show(net, progress, signal);
        return gpu.call<LoadedNet>("load", [net, weights, this.#building], { signal, onProgress });
      });
      this.#loaded = loaded;
      this.#description = loaded.description;
      const noise = "random" in weights ? " with random weights: what it answers means nothing" : "";
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      const kept = await whetherKept(weights, this.#description);
      if (this.#weights !== weights) return;
      if ("model" in weights) {
        this.#describe(this.#description);
        this.#checkNames(this.#description.numClasses);
      }
      const notes = loaded.warnings.map((text) => `${capitalized(text)}.`);
      this.#status.say([`${net} is loaded${noise} (${seconds} s).`, ...notes, kept].filter(Boolean).join(" "));
      this.#onChange();
    } catch (error) {
      // Another choice may have taken its place.
      if (this.#weights === weights) this.#fail(error);
    }
  }

  /** Which of the published weights a file is, by its name. */
  #publishedAs(file: Blob): string | undefined {
    const { name } = file as Partial<File>;
    return this.#description?.published.find(({ url }) => name !== undefined && url.endsWith(`/${name}`))?.name;
  }

  #show(net: string, { phase, loaded, total }: LoadProgress, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#progress.update(loaded, total);
    const of = total > 0 ? ` of ${megabytes(total)}` : "";
    if (phase === "download") this.#status.say(`Downloading ${megabytes(loaded)}${of} …`);
    else this.#status.say(`Loading ${net} …`);
  }

  #unload(): void {
    this.#weights = undefined;
    this.#progress.cancel();
    if (!this.#loaded) return;
    this.#loaded = undefined;
    this.#onChange();
  }

  /** What was asked for is remembered where the worker is gone: another one will load it. */
  #fail(error: unknown): void {
    if (!isLost(error)) this.#weights = undefined;
    this.#status.say("Nothing is loaded.");
    this.#status.fail(error);
  }
}

/** A family's nets, with the megabytes to download where there is something to. */
const optionsOf = (family: string, nets: Readonly<Record<string, number | undefined>>): HTMLElement =>
  make(
    "optgroup",
    { label: family },
    ...Object.entries(nets).map(([name, size]) =>
      make("option", { value: name }, size === undefined ? name : `${name} · ${megabytes(1e6 * size)}`),
    ),
  );

/** "56.5 million", "1.82 billion" */
const many = (value: number): string =>
  value < 1e9 ? `${count(value / 1e6)} million` : `${count(value / 1e9)} billion`;

/** "huggingface.co/timm" */
function placeOf(address: string): string {
  const { host, pathname } = new URL(address, document.baseURI);
  return `${host}/${pathname.split("/")[1]}`;
}

/** What was downloaded is kept for the next visit, unless the browser has no room for it. */
async function whetherKept(weights: WeightsChoice, description: NetDescription | undefined): Promise<string> {
  const url =
    "url" in weights
      ? weights.url
      : "published" in weights &&
        !("file" in weights) &&
        description?.published.find(({ name }) => name === weights.published)?.readable;
  if (!url) return "";
  try {
    const cached = await caches.match(new URL(url, document.baseURI), { cacheName: "shadenet-weights" });
    return cached ? "It is kept for the next visit." : NOT_KEPT;
  } catch {
    return NOT_KEPT;
  }
}

const NOT_KEPT =
  "It could not be kept: this browser has no room left for the page, and will download it again next time.";
