import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Script } from "node:vm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { billions, digits, percent, time, times } from "../../bench/html/format.ts";
import { renderHtml, writeHtml } from "../../bench/html/html.ts";
import { html, jsonScript, Markup } from "../../bench/html/markup.ts";
import * as views from "../../bench/html/views.ts";
import type { PeerRow } from "../../bench/peers/results.ts";
import type { KernelReport, KernelRow, NetReport, NetRow, Run, Timing } from "../../bench/report/report.ts";
import { FileError } from "../../engine/ground/errors.ts";
import { roof } from "../../engine/tuning/report.ts";
import { refuses } from "../harness.ts";

/** What a page must show as it stands and never take for HTML. */
const HOSTILE = `evil</script><script>alert("1")</script><img src=x onerror='alert(2)'>&amp;`;
const ESCAPED =
  "evil&lt;/script&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&lt;img src=x onerror=&#39;alert(2)&#39;&gt;&amp;amp;";

const run: Run = {
  schema: 1,
  complete: true,
  date: "2026-01-02T03:04:05.678Z",
  versions: { shadenet: "9.8.7", node: "20.1.2", dawn: "0.6.2" },
  adapter: { name: "Test adapter", description: "Test driver 1.2", software: true },
  machine: { cpu: "Test CPU", cores: 2 },
  roofline: { flops: 50e9, bytes: 10e9, clock: "gpu" },
};

const timing = (median: number): Timing => ({
  runs: 9,
  median,
  min: 0.9 * median,
  mad: 0.01 * median,
  low: 0.95 * median,
  high: 1.1 * median,
});

const kernelRow = (layer: string, variant: string, more: Partial<KernelRow> = {}): KernelRow => ({
  layer,
  batch: 1,
  operator: "conv2d",
  shapes: { x: [1, 64, 56, 56] },
  output: [1, 64, 56, 56],
  options: {},
  variant,
  chosen: false,
  kernels: [variant],
  nets: [{ net: "resnet18", layers: ["layer1.0.conv1", "layer1.1.conv1"] }],
  status: "ok",
  error: 0.1,
  gpu: timing(5),
  wall: timing(6),
  flops: 2e8,
  bytes: 1e6,
  flopsRate: 4e10,
  bytesRate: 2e8,
  rooflineShare: 0.8,
  ...more,
});

const untimed = { gpu: undefined, wall: undefined, flopsRate: undefined, bytesRate: undefined };

const kernels: KernelReport = {
  ...run,
  kind: "kernels",
  rows: [
    kernelRow("conv2d 3x3", "conv2d", { gpu: timing(40), flopsRate: 5e9, rooflineShare: 0.1 }),
    kernelRow("conv2d 3x3", "conv2d_subgroup", { chosen: true }),
    kernelRow("conv2d 3x3", "conv2d_tile", { ...untimed, status: "wrong", reason: "twice the error allowed" }),
    kernelRow("to_nhwc", "to_nhwc", { flops: 0, flopsRate: 0, nets: [{ net: "vgg16", layers: ["x"] }] }),
    kernelRow(HOSTILE, "relu", { nets: [{ net: HOSTILE, layers: ["relu"] }], gpu: undefined }),
  ],
};

const netRow = (net: string, batch: number, more: Partial<NetRow> = {}): NetRow => ({
  net,
  batch,
  status: "ok",
  error: 1e-6,
  wall: timing(50 * batch),
  gpu: timing(45 * batch),
  cold: { uncached: 1200, cached: 700 },
  imagesPerSecond: 20,
  flops: 4e9 * batch,
  bytes: 2e8 * batch,
  flopsRate: 8e10,
  rooflineShare: 0.7,
  memory: { weights: 1e8, activations: 2e7 },
  steps: 21,
  layers: [
    { layer: "conv1", kernels: ["to_nhwc", "conv2d_subgroup"], milliseconds: 30 },
    { layer: "fc", kernels: ["linear", "linear"], milliseconds: 10 },
  ],
  ...more,
});

const nets: NetReport = {
  ...run,
  kind: "nets",
  complete: false,
  rows: [
    netRow("resnet18", 1),
    netRow("resnet18", 8, { layers: undefined }),
    netRow(HOSTILE, 1, { status: "skipped", reason: "no memory", wall: undefined, flopsRate: undefined }),
  ],
};

const peerRow = (engine: PeerRow["engine"], more: Partial<PeerRow> = {}): PeerRow => ({
  engine,
  provider: "webgpu",
  version: "1.2.3",
  adapter: "Test adapter",
  net: "alexnet",
  batch: 1,
  coldMs: 900,
  medianMs: 50,
  minMs: 49,
  runs: 7,
  agreesWith: "onnxruntime cpu",
  ...more,
});

const peers: PeerRow[] = [
  peerRow("shadenet"),
  peerRow("onnxruntime", { medianMs: 500, coldMs: 4600 }),
  peerRow("onnxruntime", { provider: "cpu", adapter: "Test CPU", medianMs: 25, agreesWith: "shadenet" }),
  peerRow("tfjs", { medianMs: 1250 }),
  peerRow("jax-js", { medianMs: null, minMs: null, coldMs: null, runs: 0, agreesWith: null, error: HOSTILE }),
];

const pages = {
  kernels: await renderHtml(kernels),
  nets: await renderHtml(nets),
  peers: await renderHtml(peers),
};

/** The contents of the elements of a kind. */
const contents = (page: string, element: string): string[] =>
  [...page.matchAll(new RegExp(`<${element}\\b[^>]*>(.*?)</${element}>`, "gs"))].map(([, content]) => content);

/** A table's cells as text, row by row. */
const cells = (page: string): string[][] =>
  contents(contents(page, "tbody")[0], "tr").map((row) =>
    contents(row, "td").map((cell) => cell.replace(/<[^>]*>/g, "")),
  );

test("a page needs nothing but itself", () => {
  for (const [kind, page] of Object.entries(pages)) {
    const markup = page.replace(/<(script|style)\b.*?<\/\1>/gs, "").replaceAll(ESCAPED, "");
    assert.not.match(markup, /<[^>]*\s(src|srcset|href|action|data|poster)\s*=\s*(?!"data:,")/i, kind);
    assert.not.match(contents(page, "style").join(), /@import|url\(/, kind);
    assert.not.match(
      contents(page, "script").join(),
      /\b(fetch|importScripts|XMLHttpRequest|WebSocket|import)\(/,
      kind,
    );
    assert.match(page, `http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; `);
  }
});

test("names are shown as they are, and end no script", () => {
  for (const [kind, page] of Object.entries(pages)) {
    assert.ok(page.includes(ESCAPED), kind);
    assert.not(page.includes(HOSTILE.slice(0, 20)), kind);
    assert.not.match(page, /<img/, kind);
    const [data, code, ...more] = contents(page, "script");
    assert.is(more.length, 0, kind);
    assert.ok(JSON.stringify(JSON.parse(data)).includes(JSON.stringify(HOSTILE).slice(1, -1)), kind);
    // Throws a SyntaxError for what is no script.
    new Script(code);
  }
  assert.equal(JSON.parse(contents(pages.nets, "script")[0]), JSON.parse(JSON.stringify(nets)));
});

test("titles and heads say what was measured on, with what and when", async () => {
  assert.is(contents(pages.kernels, "title")[0], "shadenet&#39;s kernels on Test adapter");
  assert.is(contents(pages.peers, "h1")[0], "shadenet and its peers on Test adapter");
  const facts = (page: string) => contents(page, "dd");
  assert.is(facts(pages.kernels).at(-1), "1");
  for (const page of [pages.kernels, pages.nets]) {
    assert.equal(facts(page).slice(0, 6), [
      "Test adapter (software)",
      "Test driver 1.2",
      "Test CPU, 2 cores",
      "2026-01-02 03:04 UTC",
      "shadenet 9.8.7, Dawn 0.6.2, Node 20.1.2",
      "timestamps of the GPU",
    ]);
  }
  const versions = "shadenet 1.2.3, onnxruntime 1.2.3, tfjs 1.2.3, jax-js 1.2.3";
  assert.equal(facts(pages.peers).slice(0, 3), ["Test adapter", "Test CPU", versions]);
  const inBrowser = await renderHtml(peers.map((row) => ({ ...row, browser: "Chromium 1.2" })));
  assert.equal(facts(inBrowser).slice(0, 4), ["Test adapter", "Test CPU", "Chromium 1.2", versions]);
  assert.match(pages.nets, "The run was interrupted");
  assert.not.match(pages.kernels, "The run was interrupted");
  assert.match(pages.peers, "<strong>10.0×</strong> as fast as onnxruntime WebGPU on alexnet");
});

test("tables have every row, also what failed", () => {
  const kernelRows = cells(pages.kernels);
  assert.is(kernelRows.length, 5);
  assert.equal(kernelRows[1].slice(0, 7), [
    "conv2d 3x3",
    "conv2d_subgroup ✓",
    "5.00 ms",
    "4.75 ms to 5.50 ms",
    "40.0",
    "0.200",
    "80 %",
  ]);
  assert.equal(kernelRows[2].slice(1, 3), ["conv2d_tile", "–"]);
  assert.is(kernelRows[2].at(-1), "twice the error allowed");
  assert.is(kernelRows[4][2], "6.00 ms", "without timestamps it is the wall time");

  const netRows = cells(pages.nets);
  assert.equal(
    netRows.map(([net, batch, median]) => [net, batch, median]),
    [
      ["resnet18", "1", "50.0 ms"],
      ["resnet18", "8", "400 ms"],
      [ESCAPED, "1", "–"],
    ],
  );
  assert.equal(cells(pages.peers)[1], [
    "alexnet",
    "1",
    "onnxruntime WebGPU",
    "500 ms",
    "10.0×",
    "49.0 ms",
    "4.60 s",
    "7",
    "onnxruntime cpu",
    "Test adapter",
  ]);
  assert.equal(cells(pages.peers)[4].slice(2, 5), ["jax-js WebGPU", "–", "–"]);
  assert.is(cells(pages.peers)[4][8], ESCAPED);
});

test("every chart has a name, a description and a place for the keyboard", () => {
  const charts = { kernels: ["roofline", "layers"], nets: ["nets", "layers", "roofline"], peers: ["peers"] };
  for (const [kind, wanted] of Object.entries(charts)) {
    const page = pages[kind as keyof typeof pages];
    const canvases = [...page.matchAll(/<canvas id="(\w+)"([^>]*)>([^<]+)</g)];
    assert.equal(
      canvases.map(([, id]) => id),
      wanted,
    );
    for (const [, id, attributes, fallback] of canvases) {
      assert.match(attributes, `role="img" tabindex="0" aria-labelledby="${id}-title" aria-describedby="${id}-text"`);
      for (const part of ["title", "text", "spoken"]) assert.match(page, `id="${id}-${part}"`);
      assert.match(fallback, "The table below has the same figures");
    }
    for (const header of contents(contents(page, "thead")[0], "th")) assert.match(header, /^<button type="button">/);
  }
});

test("points and bars are what the rows say", () => {
  const points = views.kernelPoints(kernels.rows);
  // What computes nothing has no place on a logarithmic axis, and what failed has no time.
  assert.equal(
    points.map(({ series, intensity, rate, chosen }) => [series, intensity, rate, chosen]),
    [
      ["conv2d", 200, 5e9, false],
      ["conv2d_subgroup", 200, 4e10, true],
      ["relu", 200, 4e10, false],
    ],
  );
  assert.equal(
    roof(
      points.map(({ intensity }) => intensity),
      run.roofline,
    ),
    [
      { x: 2.5, y: 2.5e10 },
      { x: 5, y: 5e10 },
      { x: 800, y: 5e10 },
    ],
  );
  assert.is(views.ofNet(kernels.rows, "vgg16").length, 1);
  assert.is(views.ofNet(kernels.rows, "").length, 5);

  const { groups } = views.kernelBars(views.ofNet(kernels.rows, "resnet18"), "resnet18", "Time");
  assert.equal(
    groups.map(({ name, bars }) => [name, bars.map(({ series, value, label, low }) => [series, value, label, low])]),
    [
      [
        "layer1.0.conv1 +1",
        [
          ["conv2d", 40, "40.0 ms", 38],
          ["conv2d_subgroup", 5, "5.00 ms ✓", 4.75],
        ],
      ],
    ],
  );
  const [first] = views.kernelBars(kernels.rows, "", "GFLOP/s").groups;
  assert.equal([first.name, first.bars[1].value, first.bars[1].low], ["conv2d 3x3", 40, undefined]);

  assert.equal(
    views.netBars(nets.rows, "Time of a run").groups.map(({ name, bars }) => [name, bars.map(({ value }) => value)]),
    [["resnet18", [50, 400]]],
  );
  assert.equal([...views.layerChoices(nets.rows).keys()], ["resnet18", HOSTILE]);
  assert.equal(
    views.layerBars(nets.rows[0]).groups.map(({ name, bars }) => [name, bars[0].series, bars[0].value]),
    [
      ["conv1", "to_nhwc + conv2d_subgroup", 30],
      ["fc", "linear", 10],
    ],
  );
  assert.equal(
    views.peerBars(peers, "Times as long as shadenet").groups[0].bars.map(({ series, value }) => [series, value]),
    [
      ["shadenet", 1],
      ["onnxruntime WebGPU", 10],
      ["onnxruntime CPU", 0.5],
      ["tfjs WebGPU", 25],
    ],
  );
  // Without ours there is nothing to compare with, but times.
  assert.equal(views.peerBars(peers.slice(1), "Times as long as shadenet").groups, []);
  assert.is(views.peerBars(peers.slice(1), "Time of a run").groups[0].bars.length, 3);
});

test("a report without any rows is a page, too", async () => {
  for (const empty of [{ ...kernels, rows: [] }, { ...nets, rows: [] }, []]) {
    assert.match(await renderHtml(empty), "<tbody>");
  }
});

test("numbers have three digits and a unit", () => {
  assert.equal([0.02, 0.35249, 98.06, 4063, undefined].map(time), ["20.0 µs", "0.352 ms", "98.1 ms", "4.06 s", "–"]);
  assert.equal([1.234e-7, 0, 0.5, 99.97, 12345.6, NaN].map(digits), ["1.2e-7", "0", "0.500", "100", "12,346", "–"]);
  assert.equal([0.0449, 0.834, 1.5].map(percent), ["4.5 %", "83 %", "150 %"]);
  assert.equal([billions(50.26e9), times(10.23)], ["50.3", "10.2×"]);
});

test("templates escape what is no markup", () => {
  const name = `<b> & "c"`;
  const list = [html`<i>${1}</i>`, "<"];
  assert.is(
    html`<p title="${name}">${list}${undefined}${new Markup("<br>")}</p>`.text,
    `<p title="&lt;b&gt; &amp; &quot;c&quot;"><i>1</i>&lt;<br></p>`,
  );
  assert.is(jsonScript("x", ["</script>"]).text, `<script type="application/json" id="x">["\\u003c/script>"]</script>`);
});

test("the file is there whole or not at all", async () => {
  const folder = await mkdtemp(join(tmpdir(), "shadenet-html-"));
  try {
    await writeHtml(nets, join(folder, "nets.html"));
    assert.is(await readFile(join(folder, "nets.html"), "utf8"), pages.nets);
    await refuses(
      () => writeHtml(nets, join(folder, "no/such.html")),
      FileError,
      "FILE",
      /cannot write .*its folder does not exist/,
    );
    assert.not(existsSync(join(folder, "no")));
    assert.equal(await readdir(folder), ["nets.html"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.run();
