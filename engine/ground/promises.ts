/** Promise.all that lets every promise end before it throws, so that nothing goes on in the background after an error. */
export async function all<const T extends readonly unknown[]>(
  promises: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const results = await Promise.allSettled(promises);
  for (const result of results) if (result.status === "rejected") throw result.reason;
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as never;
}

/** Waits for a promise, but no longer than for the signal: then it throws the signal's reason. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    if (signal.aborted) abort();
  });
  signal.addEventListener("abort", abort);
  // Even where it has ended before: else nobody would hear of an error of the promise.
  return Promise.race([aborted, promise]).finally(() => signal.removeEventListener("abort", abort));
}

/** What is kept by a key, made if it is not there; what fails is made again by the next who asks. */
export function keep<K, V>(kept: Map<K, Promise<V>>, key: K, make: () => Promise<V>): Promise<V> {
  let found = kept.get(key);
  if (!found) {
    const made = make();
    made.catch(() => {
      if (kept.get(key) === made) kept.delete(key);
    });
    kept.set(key, made);
    found = made;
  }
  return found;
}
