import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { median } from "../../engine/ground/statistics.ts";
import { writeWhole } from "../../tools/files.ts";
import { packageFile } from "../../tools/package.ts";
import type { PeerRow } from "../peers/results.ts";
import type { KernelReport, NetReport, Report, Run } from "../report/report.ts";
import { billions, count, digits, percent, times } from "./format.ts";
import { html, jsonScript, Markup } from "./markup.ts";
import {
  clockName,
  distinct,
  engineName,
  layeredRows,
  netName,
  netsOf,
  OURS,
  type PageReport,
  type PeerReport,
  slowdown,
} from "./reports.ts";
import { kernelTable, netTable, peerTable } from "./tables.ts";
import { KERNEL_MEASURES, NET_MEASURES, PEER_MEASURES } from "./views.ts";

/**
 * Writes a report, or the results of bench:peers, as a page that needs nothing but itself: charts for a lecture, and
 * tables with the same figures. Throws a FileError when the file cannot be written.
 */
export async function writeHtml(report: Report | readonly PeerRow[], file: string): Promise<void> {
  const page = await renderHtml(report);
  await writeWhole(file, (handle) => handle.writeFile(page));
}

/** The same page as text. */
export async function renderHtml(given: Report | readonly PeerRow[]): Promise<string> {
  const report: PageReport = "kind" in given ? given : peerReport(given);
  const { title, body } = pageOf(report);
  const style = new Markup(await readFile(packageFile("bench/html/page.css"), "utf8"));
  const script = new Markup(await bundleScript());
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>
${style}</style>
</head>
<body>
${body}
${jsonScript("report", report)}
<script>
${script}</script>
</body>
</html>
`.text;
}

/** The results of bench:peers have no date of their own. */
const peerReport = (rows: readonly PeerRow[]): PeerReport => ({ kind: "peers", date: new Date().toISOString(), rows });

/** html/page.ts with all that it imports. */
async function bundleScript(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("page.js", import.meta.url))],
    bundle: true,
    minify: true,
    format: "iife",
    target: "es2022",
    charset: "utf8",
    legalComments: "inline",
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0].text;
}

interface Page {
  readonly title: string;
  readonly body: Markup;
}

function pageOf(report: PageReport): Page {
  if (report.kind === "kernels") return kernelPage(report);
  if (report.kind === "nets") return netPage(report);
  return peerPage(report);
}

function kernelPage(report: KernelReport): Page {
  const { rows, roofline, adapter } = report;
  const title = `shadenet's kernels on ${adapter.name}`;
  const timed = rows.filter(({ status }) => status === "ok");
  const shares = timed.flatMap(({ chosen, rooflineShare }) => (chosen && rooflineShare ? [rooflineShare] : []));
  const batches = distinct(rows.map(({ batch }) => batch)).join(", ");
  const facts = [...runFacts(report), ["Images per run", batches] as const];
  const body = html`${header(title, facts, report.complete)}
${figures([
  [`${billions(roofline.flops)} GFLOP/s`, "multiply-adds at most"],
  [`${billions(roofline.bytes)} GB/s`, "copying at most"],
  [count(distinct(rows.map(({ layer }) => layer)).length), `distinct layers, ${timed.length} ways to compute them`],
  [percent(shares.length > 0 ? median(shares) : undefined), "of the roofline, the median of what is taken"],
])}
<main>
<div class="choices">
${choice("net", "Net", [...netsOf(rows).map((net) => [net, net] as const), ["", "all"]])}
${choice("measure", "Bars show", named(KERNEL_MEASURES))}
</div>
${chart(
  "roofline",
  "Roofline",
  "A point for every layer and variant: filled is what shadenet takes here, hollow what it could take instead. Operations are those the layer needs by its definition: Winograd does with fewer, and may rise above the roof.",
)}
${chart("layers", "Layers", `A bar for every variant, by ${clockName(roofline.clock)}; ✓ is the one taken. Whiskers are 95 % intervals of the median.`)}
<h2>Table</h2>
${kernelTable(rows)}
</main>`;
  return { title, body };
}

function netPage(report: NetReport): Page {
  const { rows, roofline, adapter } = report;
  const title = `shadenet's nets on ${adapter.name}`;
  const layered = layeredRows(rows);
  const single = rows.filter(({ batch, wall }) => batch === 1 && wall);
  const body = html`${header(title, runFacts(report), report.complete)}
${figures(
  (single.length > 0 ? single : rows)
    .slice(0, 6)
    .map((row) => [`${digits(row.imagesPerSecond)} images/s`, netName(row)] as const),
)}
<main>
<div class="choices">
${choice("measure", "Nets by", named(NET_MEASURES))}
${
  layered.length > 0
    ? choice(
        "layered",
        "Layers of",
        layered.map((row) => [netName(row), netName(row)]),
      )
    : undefined
}
</div>
${chart("nets", "Nets", "From the input in memory to the logits in memory. Whiskers are 95 % intervals of the median.")}
${
  layered.length > 0
    ? chart(
        "layers",
        "Layers of a net",
        `In the order they run, by ${clockName(roofline.clock)}; a colour for every kernel.`,
      )
    : undefined
}
${chart("roofline", "Roofline", "A point for every net and batch size, with what its layers need by their definition: Winograd does with fewer operations, and may rise above the roof.")}
<h2>Table</h2>
${netTable(rows)}
</main>`;
  return { title, body };
}

function peerPage({ rows, date }: PeerReport): Page {
  const on = (onGpu: boolean) =>
    distinct(rows.filter(({ provider }) => (provider === "webgpu") === onGpu).map(({ adapter }) => adapter)).join(", ");
  const title = `shadenet and its peers on ${on(true)}`;
  const facts: [string, string][] = [
    ["WebGPU", on(true)],
    ...(on(false) ? [["CPU", on(false)] as [string, string]] : []),
    ...distinct(rows.flatMap(({ browser }) => browser ?? [])).map((name): [string, string] => ["Browser", name]),
    ["Versions", distinct(rows.map(({ engine, version }) => `${engine} ${version}`)).join(", ")],
    ["Date", day(date)],
  ];
  const body = html`${header(title, facts, true)}
${figures(headlines(rows))}
<main>
<div class="choices">
${choice("measure", "Bars show", named(PEER_MEASURES))}
</div>
${chart("peers", "Comparison", PEERS_TEXT)}
<h2>Table</h2>
${peerTable(rows)}
</main>`;
  return { title, body };
}

const PEERS_TEXT =
  "The same nets with the same weights in one run, taking turns; outputs are compared first. Times are medians of " +
  "warm runs, from the input in memory to the logits in memory; cold is the first result of a new process.";

/** Against the fastest peer on WebGPU, for every net. */
function headlines(rows: readonly PeerRow[]): [string, string][] {
  const peers = rows.filter(({ engine, provider }) => engine !== OURS && provider === "webgpu");
  return distinct(rows.map(netName)).flatMap((net): [string, string][] => {
    const compared = peers.flatMap((row) => {
      const factor = netName(row) === net ? slowdown(row, rows) : undefined;
      return factor === undefined ? [] : [{ row, factor }];
    });
    const [next] = compared.sort((a, b) => a.factor - b.factor);
    return next ? [[times(next.factor), `as fast as ${engineName(next.row)} on ${net}`]] : [];
  });
}

function header(title: string, facts: readonly (readonly [string, string])[], complete: boolean): Markup {
  const list = facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>\n`);
  return html`<header>
<h1>${title}</h1>
<button type="button" id="theme">Light / dark</button>
<dl class="facts">
${list}</dl>
${complete ? undefined : html`<p class="incomplete">The run was interrupted: rows are missing.</p>`}
</header>`;
}

function runFacts({ adapter, machine, date, versions, roofline }: Run): [string, string][] {
  const { shadenet, node, dawn } = versions;
  return [
    ["Adapter", `${adapter.name}${adapter.software ? " (software)" : ""}`],
    // Software adapters have no name but their driver's.
    ...(adapter.name.includes(adapter.description) ? [] : [["Driver", adapter.description] as [string, string]]),
    ["Machine", `${machine.cpu}, ${machine.cores} cores`],
    ["Date", day(date)],
    ["Versions", `shadenet ${shadenet}, Dawn ${dawn}, Node ${node}`],
    ["Clock", clockName(roofline.clock)],
  ];
}

/** ISO 8601 to the minute, in UTC. */
const day = (date: string): string => `${date.slice(0, 16).replace("T", " ")} UTC`;

const figures = (list: readonly (readonly [string, string])[]): Markup =>
  html`<ul class="figures">
${list.map(([figure, text]) => html`<li><strong>${figure}</strong> ${text}</li>\n`)}</ul>`;

const choice = (id: string, label: string, options: readonly (readonly [value: string, text: string])[]): Markup =>
  html`<label>${label} <select id="${id}">${options.map(([value, text]) => html`<option value="${value}">${text}</option>`)}</select></label>`;

const named = (measures: object): [string, string][] => Object.keys(measures).map((name) => [name, name]);

const chart = (id: string, title: string, text: string): Markup => html`<figure>
<h2 id="${id}-title">${title}</h2>
<figcaption id="${id}-text">${text}</figcaption>
<div class="chart"><canvas id="${id}" role="img" tabindex="0" aria-labelledby="${id}-title" aria-describedby="${id}-text">The table below has the same figures.</canvas></div>
<p class="spoken" id="${id}-spoken" aria-live="polite"></p>
</figure>`;
