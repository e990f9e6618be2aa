// npm run bench:table: the figures in bench/results as a table, by adapter. With --write it goes to BENCHMARKS.md.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { FileError } from "../engine/ground/errors.ts";
import { fileError } from "../engine/node/files.ts";
import type { Figures } from "../engine/tuning/figures.ts";
import { readFigures } from "../engine/tuning/read_figures.ts";
import { writeWhole } from "../tools/files.ts";
import { isMain, packageFile } from "../tools/package.ts";
import { runProgram } from "../tools/program.ts";
import { print } from "../tools/terminal.ts";
import { figuresTable } from "./report/figures.ts";

const MARKERS = ["<!-- figures: npm run bench:table -- --write -->", "<!-- end of figures -->"] as const;

interface Options {
  readonly results: string;
  readonly write?: string | true;
}

export const tableCommand = (): Command =>
  new Command("bench:table")
    .description("draw a table of the figures that were sent")
    .option("--results <folder>", "where they are", packageFile("bench/results"))
    .option("--write [file]", "put the table between its markers, in BENCHMARKS.md if no file is named")
    .option("--debug", "show where in the code an error came from")
    .addHelpText("after", "\nExample:\n  $ npm run bench:table -- --write")
    .action(draw);

async function draw({ results, write }: Options): Promise<void> {
  const table = figuresTable(await figuresIn(results));
  if (!write) {
    for (const line of table) print(line);
    return;
  }
  const path = write === true ? packageFile("BENCHMARKS.md") : write;
  const text = withTable(await read(path), table, path);
  await writeWhole(path, (file) => file.writeFile(text));
}

/** All figures in a folder. Throws a FileError for a file of JSON that is neither figures nor another bench's report. */
export async function figuresIn(folder: string): Promise<Figures[]> {
  const names = await readdir(folder).catch((cause) => {
    throw fileError("read", folder, cause);
  });
  const files: Figures[] = [];
  for (const name of names.filter((each) => each.endsWith(".json")).sort()) {
    const path = join(folder, name);
    const figures = readFigures(await read(path), path);
    if (figures) files.push(figures);
  }
  return files;
}

/** A text with the table between its markers, in place of what was there. Throws a FileError where these are missing. */
export function withTable(text: string, table: readonly string[], name: string): string {
  const [begin, end] = MARKERS.map((marker) => text.indexOf(marker));
  if (begin < 0 || end < begin)
    throw new FileError(`${name} has no place for the table: wanted ${MARKERS.join(" and ")}`);
  return [text.slice(0, begin + MARKERS[0].length), "", ...table, "", text.slice(end)].join("\n");
}

const read = (path: string): Promise<string> =>
  readFile(path, "utf8").catch((cause) => {
    throw fileError("read", path, cause);
  });

if (isMain(import.meta.url)) await runProgram(tableCommand, process.argv.slice(2));
