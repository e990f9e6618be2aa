/** A record of the same names, with what a function makes of each value. */
export function mapValues<T, U>(record: Readonly<Record<string, T>>, make: (value: T) => U): Record<string, U> {
  const made: Record<string, U> = {};
  // Compilation does it for every node of every rewrite: through entries it takes three times as long.
  for (const name in record) made[name] = make(record[name]);
  return made;
}
