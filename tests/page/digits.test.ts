// What a lecturer projects of the digits: all of the net at once, and every value of it computed from what it is made of.
import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isNear, readShown, recompute, type Shown, sumOf } from "./explained.ts";
import { draw, inBrowser, inspect, inspected, openSite, SEVEN, settle, waitForText } from "./visit.ts";

const site = await openSite("page-digits");
let page: Page;

/** What is shown after something was done. */
async function change(act: () => Promise<void>): Promise<Shown> {
  await act();
  await settle(page);
  return readShown(page);
}

/** A place on a stage, as parts of its width and height. */
async function placeOn(stage: string, x: number, y: number) {
  const canvas = page.locator(`.stage.${stage} canvas`);
  const box = await canvas.boundingBox();
  if (!box) throw new Error(`${stage} is not shown`);
  return { canvas, position: { x: x * box.width, y: y * box.height } };
}

const lit = (kind: string): Promise<number> => page.locator(`.connections .${kind}`).count();

inBrowser("each value by the mouse: from its patch, filter and bias to what the GPU computed", async () => {
  page = await (site as NonNullable<typeof site>).open("");
  await draw(page, SEVEN);
  await waitForText(page, "digit-status", /^7: .* sure/, "digits-problem");
  // Of each: terms in all, and lines that are lit.
  const wanted = { conv1: 1, tanh1: 1, pool1: 1, conv2: 6, tanh2: 6, pool2: 1, tanh3: 16, tanh4: 120 };
  for (const [stage, lines] of Object.entries(wanted)) {
    for (const [x, y] of [
      [0.31, 0.42],
      [0.82, 0.7],
    ]) {
      const { canvas, position } = await placeOn(stage, x, y);
      const shown = await change(() => canvas.hover({ position }));
      recompute(shown);
      assert.match(shown.name, stage);
      assert.is((await lit("low")) + (await lit("high")), lines);
      assert.is(await lit("pointed"), 1);
    }
  }
  const shown = await change(() => page.locator("#digit-bars button").nth(7).hover());
  recompute(shown);
  assert.match((await page.locator(".equation").textContent()) ?? "", /softmax 9\d\.\d %|softmax 100\.0 %/);
});

inBrowser("a field on the input as large as the layers make it", async () => {
  for (const [stage, side] of [
    ["conv1", 5],
    ["pool1", 6],
    ["tanh2", 14],
    ["pool2", 16],
    ["tanh3", 32],
  ] as const) {
    const { canvas, position } = await placeOn(stage, 0.31, 0.42);
    await change(() => canvas.hover({ position }));
    const [input] = await page.locator(".stage.input canvas").evaluateAll((all) => all.map((each) => each.clientWidth));
    const widths = await page
      .locator(".connections rect")
      .evaluateAll((all) => all.map((each) => Number(each.getAttribute("width")) - 2));
    const seen = (side / 32) * input;
    assert.ok(
      widths.some((width) => Math.abs(width - seen) < 0.5),
      `${stage}: ${widths}, wanted ${seen}`,
    );
  }
});

inBrowser("a click stays, the keys move it, and the numbers of any term can be asked for", async () => {
  const { canvas, position } = await placeOn("tanh2", 0.2, 0.1);
  await canvas.click({ position });
  const first = await change(() => page.locator("h1").hover());
  assert.match(first.name, /tanh2.*map 1 of 16/);
  const moved = await change(() => page.keyboard.press("ArrowRight"));
  recompute(moved);
  const [, row, column] = /row (\d+), column (\d+)/.exec(first.name)?.map(Number) ?? [];
  assert.match(moved.name, `row ${row}, column ${column + 1}`);
  // Over the edge to the map beside it.
  const beside = await change(async () => {
    for (let i = 0; i < 10; i++) await page.keyboard.press("ArrowRight");
  });
  assert.match(beside.name, /map 2 of 16/);
  const asked = await change(() => page.locator("#unit button").nth(3).press("Enter"));
  recompute(asked);
  isNear(sumOf(asked.product), asked.addend[3], "the fourth term");
  await page.locator(".stage.tanh2 canvas").focus();
  const next = await change(() => page.keyboard.press("Tab"));
  assert.match(next.name, /pool2/);
  recompute(next);
  await inspect(page, "a value");
});

inBrowser("a tap; another drawing has other numbers, and none has none", async () => {
  const { canvas, position } = await placeOn("tanh1", 0.5, 0.3);
  recompute(await change(() => canvas.tap({ position })));
  const before = await change(() => page.locator("#digit-bars button").nth(2).tap());
  recompute(before);
  await page.getByRole("button", { name: "2", exact: true }).tap();
  await waitForText(page, "digit-status", /^2: /, "digits-problem");
  const after = await readShown(page);
  assert.not.equal(after.addend, before.addend);
  assert.is(after.bias, before.bias);
  recompute(after);
  await page.getByRole("button", { name: "Clear" }).tap();
  await waitForText(page, "digit-status", /Draw a digit/);
  assert.is(await page.locator("#unit data").count(), 0);
});

inBrowser("answer and all stages in the first screen, on a projector and on a phone", async () => {
  await page.getByRole("button", { name: "3", exact: true }).click();
  await waitForText(page, "digit-status", /^3: /, "digits-problem");
  for (const [width, height] of [
    [1280, 800],
    [1920, 1080],
    [390, 844],
  ]) {
    await page.setViewportSize({ width, height });
    await settle(page);
    const below = await page
      .locator(".stage, .answer, #pad, #samples")
      .evaluateAll((all) => all.map((each) => each.getBoundingClientRect().bottom - innerHeight));
    assert.is(below.length, 13 + 3);
    assert.ok(Math.max(...below) <= 0, `${width} x ${height}: ${Math.max(...below)} pixels below`);
    const [pad, answer] = await page
      .locator("#pad, .answer")
      .evaluateAll((all) => all.map((each) => each.getBoundingClientRect().bottom).sort((a, b) => b - a));
    assert.ok(answer < pad, "the answer is under the hand");
  }
});

inBrowser("accessibility", () => assert.equal(inspected.violations, []));

test.run();
