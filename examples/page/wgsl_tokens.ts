/** Kinds of what stands in WGSL; "" for all that is not coloured. */
export type TokenKind = "comment" | "keyword" | "type" | "number" | "attribute" | "constant" | "";

const KEYWORDS =
  "alias break case const const_assert continue continuing default diagnostic discard else enable false fn for if let loop " +
  "override requires return struct switch true var while";
const TYPES = "array atomic bool f16 f32 i32 ptr u32 mat[234]x[234][fh]? vec[234][fhiu]? texture_\\w+ sampler";

const words = (list: string): string => `\\b(?:${list.replaceAll(" ", "|")})\\b`;

const PATTERNS: readonly (readonly [TokenKind, string])[] = [
  ["comment", "\\/\\/[^\\n]*|\\/\\*[\\s\\S]*?(?:\\*\\/|$)"],
  ["attribute", "@\\w+"],
  ["keyword", words(KEYWORDS)],
  ["type", words(TYPES)],
  ["number", "\\b(?:0x[\\da-fA-F]+|\\d[\\d.]*(?:e[+-]?\\d+)?)[fhiu]?\\b"],
  ["constant", "\\b[A-Z][A-Z\\d_]+\\b"],
];

const ANY = new RegExp(PATTERNS.map(([, pattern]) => `(${pattern})`).join("|"), "g");

/** Cuts WGSL into pieces by their kinds; together they are the text again. */
export function tokenize(wgsl: string): { readonly kind: TokenKind; readonly text: string }[] {
  const tokens: { kind: TokenKind; text: string }[] = [];
  let end = 0;
  for (const match of wgsl.matchAll(ANY)) {
    if (match.index > end) tokens.push({ kind: "", text: wgsl.slice(end, match.index) });
    const group = match.slice(1).findIndex((text) => text !== undefined);
    tokens.push({ kind: PATTERNS[group][0], text: match[0] });
    end = match.index + match[0].length;
  }
  if (end < wgsl.length) tokens.push({ kind: "", text: wgsl.slice(end) });
  return tokens;
}
