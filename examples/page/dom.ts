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

/** Calls back when the page changes between light and dark. */
export const onColorScheme = (redraw: () => void): void =>
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
