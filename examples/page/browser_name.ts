/** How browsers call themselves. Those that stand later claim to be these, too. */
const BROWSERS: readonly (readonly [string, RegExp])[] = [
  ["Edge", /\bEdg\/([\d.]+)/],
  ["Opera", /\bOPR\/([\d.]+)/],
  ["Firefox", /\bFirefox\/([\d.]+)/],
  ["Chrome", /Chrome\/([\d.]+)/],
  ["Safari", /\bVersion\/([\d.]+).* Safari\//],
];

/** Browser and system, as far as the text that a browser sends to every site tells them. */
export function describeBrowser(userAgent: string): { readonly runtime: string; readonly os: string } {
  const os = /\(([^)]*)\)/.exec(userAgent)?.[1] ?? "unknown";
  for (const [name, pattern] of BROWSERS) {
    const version = pattern.exec(userAgent)?.[1];
    if (version) return { runtime: `${name} ${version}`, os };
  }
  return { runtime: userAgent, os };
}
