// A process of tests/run.ts: runs the test files that it is told, one after the other, so that they share the start of Node,
// an open GPU and what is compiled on it. Answers with the exit code that each would have by itself.
process.on("message", async (file: string) => {
  // Who waits for what never comes ends the process, as when the file is run by itself.
  process.channel?.unref();
  // Before uvu is loaded, which would run the tests by itself.
  Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: [[null]] });
  const [{ exec }, { begin, idle }] = [await import("uvu"), await import("./harness.ts")];
  begin();
  await import(`./${file}`);
  await exec();
  // What it has not waited for is still its own.
  await idle();
  process.channel?.ref();
  process.send?.(process.exitCode);
});
