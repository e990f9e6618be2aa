import type { Progress as LoadProgress } from "../../engine/ground/options.ts";
import { families } from "../../nets/families.ts";
import { find, make } from "./dom.ts";
import { count, megabytes } from "./format.ts";
import type { Page } from "./main.ts";
import { isLost, Progress, type Status } from "./status.ts";
import type { WeightsChoice } from "./worker/load_model.ts";
import type { Building, NetDescription } from "./worker/looking.ts";

/** The choice of a net and its weights. One net is loaded at a time: another choice gives up what is under way. */
export class NetForm {
  readonly #page: Page;
  readonly #status: Status;
  readonly #onChange: () => void;
  readonly #choice = find("net", HTMLSelectElement);
  readonly #classes = find("num-classes", HTMLInputElement);
  readonly #progress = new Progress("images-progress", "images-bar", "cancel-load");
  #description: NetDescription | undefined;
  /** What is loaded, or shall be. */
  #weights: WeightsChoice | undefined;
  #isLoaded = false;

  /** `onChange` is called when another net is described, loaded or gone. */
  constructor(page: Page, status: Status, onChange: () => void) {
    this.#page = page;
    this.#status = status;
    this.#onChange = onChange;
    for (const name of Object.keys(families)) if (name !== "lenet5") this.#choice.append(make("option", {}, name));
    this.#choice.value = "resnet18";
    this.#choice.addEventListener("change", () => {
      this.#classes.value = "";
      this.#choose();
    });
    this.#classes.addEventListener("change", () => this.#choose());
    const file = find("weights-file", HTMLInputElement);
    find("random-weights").addEventListener("click", () => this.load({ random: true }));
    find("choose-weights").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      if (file.files?.[0]) this.load({ file: file.files[0] });
      file.value = "";
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
    return this.#isLoaded;
  }

  /** Describes the net that was chosen. Noise is replaced by noise at once, other weights are another net's. */
  async #choose(): Promise<void> {
    const again = this.#weights && "random" in this.#weights ? this.#weights : undefined;
    this.#unload();
    this.#status.clear();
    const [net, { numClasses }] = [this.#choice.value, this.#building];
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
    if (again) await this.load(again);
    else this.#status.say("Choose weights for it.");
    this.#onChange();
  }

  /** What is asked for in place of the net's own; a field without a number asks for nothing. */
  get #building(): Building {
    return this.#classes.value === "" ? {} : { numClasses: this.#classes.valueAsNumber };
  }

  #describe({ numClasses, parameters, multiplyAdds, heatMap, published }: NetDescription): void {
    find("net-text").textContent =
      `${count(parameters / 1e6)} million parameters, ${count(multiplyAdds / 1e9)} billion multiply-adds`;
    find("heat-map-text").textContent = heatMap.perClass
      ? `where ${heatMap.layer} speaks for the class: its class activation map`
      : `the mean of all channels of ${heatMap.layer}; only nets that end in a pooling and one linear layer have class activation maps`;
    this.#classes.placeholder = String(numClasses);
    const buttons = published.map(({ name, url }) => {
      const text = `Download ${name}, ${megabytes(4 * parameters)}`;
      const button = make("button", { type: "button", title: url }, text);
      button.addEventListener("click", () => this.load({ published: name }));
      return button;
    });
    find("published").replaceChildren(...buttons);
  }

  async #reload(): Promise<void> {
    // Another object: what has failed with the old worker is not what is loaded now.
    if (this.#weights) await this.load({ ...this.#weights });
    else await this.#choose();
  }

  async load(weights: WeightsChoice): Promise<void> {
    const net = this.#choice.value;
    this.#unload();
    this.#weights = weights;
    this.#status.clear();
    this.#status.say(`Loading ${net} …`);
    const begun = performance.now();
    try {
      const warnings = await this.#progress.during(async (signal) => {
        const gpu = await this.#page.session.open();
        const onProgress = (progress: LoadProgress) => this.#show(net, progress, signal);
        return gpu.call<readonly string[]>("load", [net, weights, this.#building], { signal, onProgress });
      });
      this.#isLoaded = true;
      const noise = "random" in weights ? " with random weights: what it answers means nothing" : "";
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      const kept = await whetherKept(weights, this.#description);
      this.#status.say([`${net} is loaded${noise} (${seconds} s).`, ...warnings, kept].join(" "));
      this.#onChange();
    } catch (error) {
      // Another choice may have taken its place.
      if (this.#weights === weights) this.#fail(error);
    }
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
    if (!this.#isLoaded) return;
    this.#isLoaded = false;
    this.#onChange();
  }

  /** What was asked for is remembered where the worker is gone: another one will load it. */
  #fail(error: unknown): void {
    if (!isLost(error)) this.#weights = undefined;
    this.#status.say("Nothing is loaded.");
    this.#status.fail(error);
  }
}

/** What was downloaded is kept for the next visit, unless the browser has no room for it. */
async function whetherKept(weights: WeightsChoice, description: NetDescription | undefined): Promise<string> {
  const url =
    "url" in weights
      ? weights.url
      : "published" in weights && description?.published.find(({ name }) => name === weights.published)?.url;
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
