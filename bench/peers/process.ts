import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { oneLine } from "../../tools/format.ts";

export interface ProcessOptions {
  /** What runs the program: Node unless it is given. */
  readonly command?: string;
  /** Over the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Seconds after which an answer no longer comes. */
  readonly timeout: number;
  /** Kills the process when it aborts. */
  readonly signal: AbortSignal;
}

/**
 * A process of Node, or of `command`, that runs a program, is asked by a byte on its stdin, and answers with a line of JSON on file descriptor
 * 3. A program ends when its stdin does, and so when this process ends in whatever way.
 */
export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  readonly #timeout: number;
  #errors = "";
  #late = false;

  constructor(program: URL, argument: unknown, { command = process.execPath, env, timeout, signal }: ProcessOptions) {
    // The engines' own talk on stdout is nobody's data.
    this.#child = spawn(command, [fileURLToPath(program), JSON.stringify(argument)], {
      env: { ...process.env, ...env },
      stdio: ["pipe", "ignore", "pipe", "pipe"],
      signal,
      killSignal: "SIGKILL",
    });
    this.#timeout = timeout;
    this.#ended = new Promise((resolve) => this.#child.once("close", resolve));
    const [stdin, , stderr, answers] = this.#child.stdio as unknown as [Writable, null, Readable, Readable];
    // That a process is gone is told by the answer that does not come.
    for (const source of [stdin, this.#child]) source.on("error", () => {});
    stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    this.#lines = createInterface({ input: answers })[Symbol.asyncIterator]();
  }

  /** The next answer. Throws with what went wrong when the process tells an error, dies, or takes too long. */
  async answer<T extends object>(): Promise<T> {
    const timer = setTimeout(() => {
      this.#late = true;
      this.#child.kill("SIGKILL");
    }, 1000 * this.#timeout);
    try {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(await this.#ending());
      const answer: T | { error: string } = JSON.parse(value);
      if ("error" in answer) throw new Error(oneLine(answer.error));
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Asks for another answer. */
  ask<T extends object>(): Promise<T> {
    this.#child.stdin?.write(".");
    return this.answer();
  }

  async #ending(): Promise<string> {
    if (this.#late) return `gave no answer within ${this.#timeout} s`;
    await this.#ended;
    const { exitCode, signalCode } = this.#child;
    // The kernel kills by SIGKILL what takes the memory of all.
    const how =
      signalCode === "SIGKILL" ? "was killed (out of memory?)" : `ended with ${signalCode ?? `exit code ${exitCode}`}`;
    const said = this.#errors.split("\n").findLast((line) => /error|fail|memory|abort/i.test(line));
    return said ? `${how}: ${oneLine(said)}` : how;
  }

  /** Ends the process, whatever it does; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}
