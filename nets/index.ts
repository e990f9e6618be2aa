import type { AnyNet } from "../engine/definition.ts";
import * as definitions from "./definitions.ts";
import { families } from "./families.ts";

const all: Readonly<Record<string, AnyNet>> = definitions;

/** Every net by its name, at once: for programs on a disk, which load them in no time. */
export const nets: Readonly<Record<string, AnyNet>> = Object.fromEntries(
  Object.keys(families).map((name) => [name, all[name]]),
);
