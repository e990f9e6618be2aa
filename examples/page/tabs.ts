import { find } from "./dom.ts";

/** What stands in the address behind "?": a view's state. */
export const stateOf = (hash: string): URLSearchParams => new URLSearchParams(hash.split("?")[1]);

/** Whether a view is the one that the address names. */
export const isShown = (view: string): boolean => location.hash.split("?")[0] === `#${view}`;

/** Tabs that are links to #NAME, by the pattern of the WAI-ARIA practices: arrow keys, Home and End go from one to the next. */
export function startTabs(onShow: (name: string) => void): void {
  const tabs = [...document.querySelectorAll<HTMLAnchorElement>("[role=tab]")];

  function show(): void {
    const shown = tabs.find((tab) => tab.hash === location.hash.split("?")[0]) ?? tabs[0];
    for (const tab of tabs) {
      tab.ariaSelected = String(tab === shown);
      tab.tabIndex = tab === shown ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "");
      if (panel) panel.hidden = tab !== shown;
    }
    find("guide", HTMLAnchorElement).href = `guide.html${shown.hash}`;
    document.title = `${shown.textContent} · shadenet`;
    onShow(shown.hash.slice(1));
  }

  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1, " ": i }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      next.focus();
      location.hash = next.hash;
    });
  }
  addEventListener("hashchange", show);
  show();
}
