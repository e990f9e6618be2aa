import { check, checkOptions } from "../../engine/ground/errors.ts";

/** Options filled with defaults; throws a UsageError for others, and for what is no number of the range. */
export function optionsOf<O extends object>(name: string, defaults: O, given: object): O {
  checkOptions(`the optimizer "${name}"`, given, Object.keys(defaults));
  const options = { ...defaults, ...given };
  for (const [key, value] of Object.entries(options)) {
    const what = `${name}: ${key}`;
    if (typeof defaults[key as keyof O] === "boolean") check(typeof value === "boolean", what, value, "true or false");
    else {
      const [most, wanted] = /^(beta|momentum)/.test(key)
        ? [1, "at least 0 and below 1"]
        : [Infinity, "a number of at least 0"];
      check(typeof value === "number" && value >= 0 && value < most, what, value, wanted);
    }
  }
  return options;
}
