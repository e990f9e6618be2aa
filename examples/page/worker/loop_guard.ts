import { tokenize } from "../wgsl_tokens.ts";

/** Turns that all loops of one thread may take together: far more than any kernel needs for its example. */
const MOST_TURNS = 100_000;

const GUARD = " if (turns_left == 0u) { break; } turns_left -= 1u;";

/**
 * The same WGSL with loops that come to an end, so that what is typed halfway cannot hang a GPU. Line numbers do not
 * change. Where a loop has a barrier in it, the result does not compile: threads would leave it one by one.
 */
export function guardLoops(wgsl: string): string {
  const code = tokenize(wgsl)
    .map(({ kind, text }) => (kind === "comment" ? text.replace(/[^\n]/g, " ") : text))
    .join("");
  let guarded = "";
  let end = 0;
  for (const { 0: keyword, index } of code.matchAll(/\b(?:for|while|loop)\b/g)) {
    const head = keyword === "for" ? closing(code, code.indexOf("(", index)) : index;
    const body = code.indexOf("{", head);
    if (body < 0) continue;
    guarded += wgsl.slice(end, body + 1) + GUARD;
    end = body + 1;
  }
  if (end === 0) return wgsl;
  return `${guarded}${wgsl.slice(end)}\nvar<private> turns_left = ${MOST_TURNS}u;\n`;
}

/** Where the parenthesis that opens at `start` closes; the end of the code if it does not. */
function closing(code: string, start: number): number {
  let depth = 0;
  for (let i = start; i >= 0 && i < code.length; i++) {
    if (code[i] === "(") depth++;
    if (code[i] === ")" && --depth === 0) return i;
  }
  return code.length;
}
