/** The element of an id. Throws where index.html has none, or one of another kind. */
export function find<T extends HTMLElement = HTMLElement>(id: string, kind: { new (): T } = HTMLElement as never): T {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new Error(`index.html has no ${kind.name} "${id}"`);
}

/** A new element with its attributes and what is in it; texts are texts, never markup. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The same for what is drawn. */
export function makeSvg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string | number>> = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Hands a file to the visitor. */
export function download(name: string, file: Blob): void {
  const url = URL.createObjectURL(file);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Lets the page do whatever else it has to. */
export const nextTask = (): Promise<void> => new Promise((go) => setTimeout(go));

/** The same after it has shown what there is, where somebody looks at it. */
export async function nextFrame(): Promise<void> {
  if (document.visibilityState === "visible") await new Promise(requestAnimationFrame);
  await nextTask();
}

/** Calls back when the page's colours change. */
export function onColorScheme(redraw: () => void): void {
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
    matchMedia(query).addEventListener("change", redraw);
  }
}

const bringsFiles = ({ dataTransfer }: DragEvent): boolean => dataTransfer?.types.includes("Files") ?? false;

/** Files that are dropped where nobody takes them are not opened in place of the page. */
export function refuseDrops(): void {
  for (const kind of ["dragover", "drop"] as const) {
    addEventListener(kind, (event) => {
      if (bringsFiles(event)) event.preventDefault();
    });
  }
}

/** Calls back with each file that is dropped anywhere on the page while a panel is shown. */
export function acceptDrops(panel: HTMLElement, onFile: (file: File) => void): void {
  const over = (isOver: boolean) => (event: DragEvent) => {
    panel.classList.toggle("over", isOver && !panel.hidden && bringsFiles(event));
  };
  addEventListener("dragover", over(true));
  addEventListener("dragleave", over(false));
  addEventListener("drop", (event) => {
    over(false)(event);
    if (panel.hidden) return;
    for (const file of event.dataTransfer?.files ?? []) onFile(file);
  });
}

/** Keeps a canvas out of the GPU process: what is there is lost when that ends, and nobody says so. */
export const IN_MEMORY: CanvasRenderingContext2DSettings = { willReadFrequently: true };
