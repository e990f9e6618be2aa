import { test } from "uvu";
import * as assert from "uvu/assert";
import { untilAborted } from "../../../engine/ground/promises.ts";

const outcome = (promise: Promise<unknown>) =>
  promise.then(
    (value) => value,
    (error: Error) => error.message,
  );

const later = <T>(value: T) => new Promise<T>((resolve) => setTimeout(resolve, 1, value));

test("a promise is waited for no longer than for the signal", async () => {
  const controller = new AbortController();
  assert.is(await outcome(untilAborted(later(1), controller.signal)), 1);
  assert.is(await outcome(untilAborted(Promise.reject(new Error("failed")), controller.signal)), "failed");
  const waiting = outcome(untilAborted(new Promise(() => {}), controller.signal));
  controller.abort(new Error("stop"));
  assert.is(await waiting, "stop");
});

test("what fails when nobody waits any more is no unhandled rejection", async () => {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown) => unhandled.push(reason);
  process.on("unhandledRejection", listen);
  try {
    const stopped = AbortSignal.abort(new Error("stop"));
    const fails = later(0).then(() => Promise.reject(new Error("failed")));
    assert.is(await outcome(untilAborted(fails, stopped)), "stop");
    assert.is(await outcome(untilAborted(Promise.resolve(1), stopped)), "stop");
    await later(0);
    await later(0);
    assert.equal(unhandled, []);
  } finally {
    process.off("unhandledRejection", listen);
  }
});

test.run();
