import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../../engine/ground/errors.ts";
import { openWorkerGpu } from "../../../worker.ts";
import { random, refuses } from "../../harness.ts";
import { startWorker } from "./in_process.ts";

const gpu = await openWorkerGpu({ worker: startWorker() });
test.after(() => gpu.close());
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error) => error,
  );
const digit = () => Float32Array.from({ length: 1024 }, random);
const picture = { width: 8, height: 8, data: new Uint8Array(256).fill(200) };

test("a signal ends run() and classify() of a net in a worker: before, meanwhile, and no more afterwards", async () => {
  const net = await gpu.loadNet("lenet5");
  const calls = [
    (signal: AbortSignal) => net.run(digit(), { signal }),
    (signal: AbortSignal) => net.classify(picture, { signal }),
    (signal: AbortSignal) => net.profile({ runs: 1, signal }),
    (signal: AbortSignal) => gpu.loadNet("lenet5", { signal }),
  ];
  for (const call of calls) {
    const reason = new Error("enough");
    assert.is(await failure(call(AbortSignal.abort(reason))), reason);
    const meanwhile = new AbortController();
    const running = call(meanwhile.signal);
    meanwhile.abort(reason);
    assert.is(await failure(running), reason);
    const late = new AbortController();
    assert.ok(await call(late.signal));
    late.abort(reason);
  }
  assert.is((await net.classify(picture)).length, 5);
  net.dispose();
});

test("what cannot be sent, or is no method, is refused", async () => {
  await refuses(() => gpu.call("none"), UsageError, "USAGE", /the worker has no method "none"; it has loadNet, run/);
  const options = { numClasses: () => 1 };
  await refuses(() => gpu.loadNet("lenet5", options), UsageError, "USAGE", /"loadNet": its arguments cannot be sent/);
});

test.run();
