// What a visitor does with Teach: classes of one's own, from digits, drawings, files and the camera.
import { readFileSync } from "node:fs";
import type { Locator, Page } from "playwright-core";
import { PNG } from "pngjs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { AnyNet } from "../../engine/definition.ts";
import { pcg } from "../../engine/ground/hash.ts";
import type { Tensor } from "../../engine/ground/tensor.ts";
import { encodeSafetensors } from "../../engine/weights/safetensors.ts";
import { openGpu, readImage } from "../../index.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { resnet18 } from "../../nets/resnet.ts";
import { squeezenet1_1 } from "../../nets/squeezenet.ts";
import { isDeep } from "../harness.ts";
import {
  draw,
  inBrowser,
  inspect,
  inspected,
  inWorker,
  killGpu,
  loseDevice,
  openSite,
  ROOT,
  waitForText,
  watchTasks,
} from "./visit.ts";

const site = await openSite("page-teach");
let page: Page;

const press = (name: string | RegExp, exact = true) => page.getByRole("button", { name, exact });
const waitFor = (id: string, wanted: RegExp) => waitForText(page, id, wanted, "teach-problem");
const cards = () => page.locator("#classes > li");
const counts = (): Promise<string[]> => cards().locator("> .quiet").allTextContents();
const nameOf = (place: number) => page.getByLabel(`Name of class ${place}`, { exact: true });

/** What is said of the held-out samples: how many are read correctly, of how many. */
async function trained(): Promise<readonly [right: number, of: number]> {
  const said = await waitFor("teach-status", /^Trained on .* reads \d+ of \d+ held-out/);
  const [, right, of] = /reads (\d+) of (\d+)/.exec(said)?.map(Number) ?? [];
  return [right, of];
}

/** The probability of each class as it is shown, in percent. */
const shares = async (): Promise<number[]> =>
  (await page.locator("#teach-bars .figure").allTextContents()).map((each) => Number.parseFloat(each));

async function exported(): Promise<Buffer> {
  const download = page.waitForEvent("download");
  await press("Export as safetensors").click();
  return readFileSync(await (await download).path());
}

const ONE: Parameters<typeof draw>[1] = [
  [
    [0.5, 0.2],
    [0.5, 0.8],
  ],
];

inBrowser("two classes of digits: taught in two clicks, told apart, and what a drawing is", async () => {
  if (!site) return;
  page = await site.open("#teach?class=nought&class=stroke");
  await waitFor("teach-status", /^Add at least two samples/);
  assert.ok(await press("Train").isDisabled());
  await press("Try it with digits").click();
  await waitFor("teach-status", /^Press Train/);
  assert.equal(await counts(), ["40 samples", "40 samples"]);
  await press("Train").click();
  const [right, of] = await trained();
  const [{ startTime }] = await page.evaluate(() =>
    performance.getEntriesByName("taught").map((each) => each.toJSON()),
  );
  console.log(
    `note: a working classifier in Teach ${(startTime / 1000).toFixed(1)} s after the page was opened, ${right} of ${of} held-out samples read correctly`,
  );
  assert.is(of, 20);
  assert.ok(right >= 19, `${right} of ${of}`);
  await draw(page, ONE, "#teach-pad");
  await waitFor("teach-answer", /^stroke$/);
  const [nought, stroke] = await shares();
  assert.ok(stroke > 90 && Math.abs(nought + stroke - 100) < 0.2);
  await press("Clear").click();
  await waitFor("teach-answer", /^\u00a0$/);
});

inBrowser("the confusion table has all held-out samples, and shows those of a cell", async () => {
  const numbers = (await page.locator("#confusion td:not(thead td)").allTextContents()).map(Number);
  assert.is(numbers.length, 4);
  assert.is(
    numbers.reduce((sum, each) => sum + each, 0),
    20,
  );
  await press("nought read as nought: 10").click();
  await waitFor("cell-title", /^nought read as nought: 10$/);
  assert.is(await page.locator("#cell-pictures canvas").count(), 10);
});

inBrowser("what is exported is a net for Node, with the names of the classes", async () => {
  await nameOf(1).fill("zero");
  await press("zero read as zero: 10").waitFor();
  const bytes = await exported();
  const gpu = await openGpu({ kernelHash: undefined });
  const net = await gpu.loadNet("lenet5", { weights: bytes });
  assert.is(net.options.numClasses, 2);
  for (const [digit, name] of ["zero", "stroke"].entries()) {
    const [best] = await net.classify(await readImage(`${ROOT}examples/digits/digit-${digit}-a.png`), { top: 2 });
    assert.is(best.label, name);
    assert.ok(best.probability > 0.9);
  }
  net.dispose();
  gpu.close();
});

/** A picture of a colour with some noise, which is the same for the same number. */
function noisy([red, green, blue]: readonly number[], seed: number): Buffer {
  const image = new PNG({ width: 64, height: 64 });
  for (let i = 0; i < 64 * 64; i++) {
    const noise = pcg(pcg(seed) ^ i) % 64;
    image.data.set([red + noise, green + noise, blue + noise, 255], 4 * i);
  }
  return PNG.sync.write(image);
}

const file = (name: string, buffer: Buffer, mimeType = "image/png") => ({ name, mimeType, buffer });

/** Gives a card files by its picker. */
const give = (place: number, files: readonly ReturnType<typeof file>[]) =>
  cards()
    .nth(place)
    .locator("input[type=file]")
    .setInputFiles([...files]);

/** Gives something files by a drop or from the clipboard. */
async function hand(kind: "drop" | "paste", target: Locator, bytes: Buffer): Promise<void> {
  await target.evaluate(
    (element, [kind, base64]) => {
      const data = new DataTransfer();
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      data.items.add(new File([bytes], "a.png", { type: "image/png" }));
      const given = { bubbles: true, cancelable: true };
      element.dispatchEvent(
        kind === "drop"
          ? new DragEvent("drop", { ...given, dataTransfer: data })
          : new ClipboardEvent("paste", { ...given, clipboardData: data }),
      );
    },
    [kind, bytes.toString("base64")] as const,
  );
}

/** Trains, and waits for it. */
async function train(): Promise<readonly [right: number, of: number]> {
  await press("Train").click();
  await waitFor("teach-status", /^(Opening|Looking|Training|Trained)/);
  return trained();
}

/** Waits for so many samples of a class. */
const waitForSamples = (place: number, wanted: RegExp) =>
  cards().nth(place).locator("> .quiet").filter({ hasText: wanted }).waitFor();

if (isDeep) {
  inBrowser("the address is restored as far as it makes sense, and no sample is lost over it", async () => {
    const goTo = (state: string) =>
      page.evaluate((state) => {
        location.hash = `#teach?${state}`;
      }, state);
    assert.match(page.url(), /#teach\?net=lenet5&class=zero&class=stroke&steps=120&lr=0\.01&held=25&seed=1$/);
    await goTo("class=x&class=y&class=z&steps=200&held=30&seed=7");
    await page.waitForURL(/net=lenet5&class=zero&class=stroke&steps=200&lr=0\.01&held=30&seed=7$/);
    await press("Start over").click();
    assert.equal(await counts(), ["No samples yet", "No samples yet", "No samples yet"]);
    assert.ok(await press("Export as safetensors").isDisabled());
    assert.ok(await page.locator("#confusion").isHidden());
    await goTo("class=x&class=y&steps=3&held=x&seed=-1&lr=0.02&net=vgg16");
    await page.waitForURL(/net=lenet5&class=x&class=y&steps=200&lr=0\.02&held=30&seed=7$/);
    assert.is(await cards().count(), 2);
    await inspect(page, "teach-empty");
  });

  inBrowser("by the keyboard: names, more classes and fewer, samples from files, one of them removed", async () => {
    await nameOf(2).fill("");
    await nameOf(2).pressSequentially("bars");
    assert.ok(await press("Remove the class x").isDisabled());
    for (let all = 3; all <= 10; all++) await press("Add a class").press("Enter");
    assert.is(await cards().count(), 10);
    assert.ok(await press("Add a class").isDisabled());
    for (let all = 9; all >= 2; all--) await press(`Remove the class Class ${all + 1}`).press("Enter");
    assert.is(await cards().count(), 2);
    await give(
      0,
      [1, 2, 3].map((seed) => file("a.png", noisy([0, 0, 0], seed))),
    );
    await waitForSamples(0, /^3 samples$/);
    await cards().nth(0).getByRole("button", { name: "Remove sample 1" }).focus();
    await page.keyboard.press("ArrowRight");
    assert.is(await page.evaluate(() => document.activeElement?.ariaLabel), "Remove sample 2");
    await page.keyboard.press("Delete");
    await waitForSamples(0, /^2 samples$/);
    assert.is(await page.evaluate(() => document.activeElement?.ariaLabel), "Remove sample 2");
    await waitFor("teach-status", /^Still at least two samples for bars\.$/);
    await press("Start over").press("Enter");
    await press("Undo").press("Enter");
    assert.equal(await counts(), ["2 samples", "No samples yet"]);
    assert.is(await press("Undo").count(), 0);
  });

  inBrowser("dropped on a card, pasted into one; a file that is no picture does not keep the others", async () => {
    await hand("drop", cards().nth(1), noisy([99, 99, 99], 4));
    await waitForSamples(1, /^1 sample$/);
    await nameOf(2).focus();
    await hand("paste", nameOf(2), noisy([99, 99, 99], 5));
    await waitForSamples(1, /^2 samples$/);
    await give(1, [file("notes.txt", Buffer.from("x"), "text/plain"), file("b.png", noisy([99, 99, 99], 6))]);
    await waitForSamples(1, /^3 samples$/);
    await waitForText(page, "teach-problem", /^Notes\.txt is no picture/);
  });

  inBrowser("drawings by a finger; another sample than it was trained with is told", async () => {
    await press("Start over").tap();
    await press("Remove the class Class 3").tap();
    await cards().nth(0).getByRole("button", { name: "Add drawing" }).tap();
    await waitFor("teach-status", /^Draw something first/);
    for (const [place, x] of [0.3, 0.4, 0.5, 0.6].entries()) {
      for (const strokes of [
        [
          [
            [x, 0.2],
            [x, 0.8],
          ],
        ],
        [
          [
            [0.2, x],
            [0.8, x],
          ],
          [
            [0.2, 0.8 - x / 4],
            [0.8, 0.8 - x / 4],
          ],
        ],
      ] as const) {
        await draw(page, strokes, "#teach-pad");
        const card = cards().nth(strokes.length - 1);
        await card.getByRole("button", { name: "Add drawing" }).tap();
        await waitForSamples(strokes.length - 1, new RegExp(`^${place + 1} sample`));
      }
    }
    assert.equal(await train(), [2, 2]);
    assert.ok(await page.locator("#teach-changed").isHidden());
    await draw(page, ONE, "#teach-pad");
    await waitFor("teach-answer", /^Class 1$/);
    await cards().nth(0).getByRole("button", { name: "Add drawing" }).tap();
    assert.not(await page.locator("#teach-changed").isHidden());
  });

  inBrowser("ten subjects of sketches, which name their classes", async () => {
    await press("Start over").click();
    for (let all = 4; all <= 10; all++) await press("Add a class").click();
    await press("Try it with sketches").click();
    await waitFor("teach-status", /^Press Train/);
    assert.equal([await nameOf(1).inputValue(), await nameOf(10).inputValue()], ["house", "car"]);
    await inspect(page, "teach-sketches");
    const [right, of] = await train();
    assert.is(of, 120);
    assert.ok(right >= 0.8 * of, `${right} of ${of}`);
    console.log(`note: ten subjects: ${right} of ${of} held-out sketches read correctly`);
  });

  inBrowser("ten classes of digits, and how long tasks of the page are meanwhile", async () => {
    await press("Start over").click();
    for (let all = 4; all <= 10; all++) await press("Add a class").click();
    const tasks = await watchTasks(page.context());
    await press("Try it with digits").click();
    await waitFor("teach-status", /^Press Train/);
    const [right, of] = await train();
    assert.is(of, 120);
    assert.ok(right >= 0.95 * of, `${right} of ${of}`);
    console.log(`note: ten classes: ${right} of ${of} held-out samples; ${await tasks()}`);
    const numbers = (await page.locator("#confusion td:not(thead td)").allTextContents()).map(Number);
    assert.is(numbers.length, 100);
    await press("0 read as 0: 12").click();
    assert.is(await page.locator("#cell-pictures canvas").count(), 12);
    await inspect(page, "teach");
  });

  /** A drawing's answer: the last one, when all of the stroke was seen. */
  async function ask(): Promise<number[]> {
    await press("Clear").click();
    await waitFor("teach-answer", /^\u00a0$/);
    await draw(page, ONE, "#teach-pad");
    await waitFor("teach-answer", /^1$/);
    for (let before = await shares(); ; ) {
      await page.waitForTimeout(1000);
      const now = await shares();
      if (String(now) === String(before)) return now;
      before = now;
    }
  }

  inBrowser("a lost device, idle and while it trains, and the GPU's process that ends: it goes on", async () => {
    const before = await ask();
    await loseDevice(page, "teaching");
    await waitFor("teach-status", /lost and opened again/);
    assert.equal(await ask(), before);
    const readings = await page.locator("#confusion").textContent();
    await page.getByLabel("Steps").fill("400");
    await press("Train").click();
    await waitFor("teach-accuracy-text", /%/);
    await loseDevice(page, "teaching");
    await trained();
    await page.getByLabel("Steps").fill("120");
    await press("Train").click();
    await waitFor("teach-accuracy-text", /held out/);
    await killGpu(page);
    await trained();
    assert.is(await page.locator("#confusion").textContent(), readings);
    assert.equal(await ask(), before);
  });

  inBrowser("the worker ends: what was trained is gone, samples are not", async () => {
    await inWorker(page, "teaching", () => close());
    await waitForText(page, "teach-problem", /^The worker ended/);
    await waitForText(page, "teach-status", /^The classifier is lost; the samples are not\. Press Train\.$/);
    assert.ok(await page.locator("#confusion").isHidden());
    assert.ok(await press("Export as safetensors").isDisabled());
    const [right, of] = await train();
    assert.ok(right >= 0.95 * of);
  });

  inBrowser("stopped while it trains, and begun again", async () => {
    await page.getByLabel("Steps").fill("5000");
    await press("Train").click();
    await waitFor("teach-accuracy-text", /%/);
    await press("Stop").click();
    await waitFor("teach-status", /^Stopped\. Press Train\.$/);
    assert.is(await page.locator("#teach-accuracy-text").textContent(), "");
    await page.getByLabel("Steps").fill("40");
    await train();
  });

  inBrowser("SqueezeNet: nothing is loaded unasked, a wrong file is told, then photos", async () => {
    await press("Start over").click();
    await press("Remove the class Class 3").click();
    const asked: string[] = [];
    await page.context().route("https://download.pytorch.org/**", (route) => {
      asked.push(route.request().url());
      return route.abort();
    });
    await page.locator("#teach-net").selectOption("squeezenet1_1");
    await waitFor("teach-status", /^Load the weights of SqueezeNet/);
    assert.ok(await press("Train").isDisabled());
    assert.equal(asked, []);
    await page
      .locator("#teach-weights")
      .setInputFiles([file("lenet5.safetensors", readFileSync(`${ROOT}nets/weights/lenet5.safetensors`))]);
    await waitForText(page, "teach-problem", /[Ll]enet5\.safetensors does not fit/);
    await waitForText(page, "teach-status", /^Nothing is loaded/);
    await press("Load SqueezeNet, 5 MB").click();
    await waitForText(page, "teach-problem", /download\.pytorch\.org/);
    assert.is(new Set(asked).size, 1);
    await page.locator("#teach-weights").setInputFiles([file("random.safetensors", await checkpoint(squeezenet1_1))]);
    await waitFor("teach-status", /^SqueezeNet is loaded/);
    for (const [place, colour] of [
      [160, 0, 0],
      [0, 0, 160],
    ].entries())
      await give(
        place,
        Array.from({ length: 8 }, (_, i) => file(`${i}.png`, noisy(colour, 100 * place + i))),
      );
    for (const place of [0, 1]) await waitForSamples(place, /^8 samples$/);
    // This adapter is slow.
    await page.getByLabel("Steps").fill("30");
    assert.equal(await train(), [4, 4]);
    await nameOf(1).fill("red");
    const bytes = await exported();
    const gpu = await openGpu({ kernelHash: undefined });
    const net = await gpu.loadNet("squeezenet1_1", { weights: bytes });
    const image = PNG.sync.read(noisy([160, 0, 0], 55));
    const [best] = await net.classify({ width: 64, height: 64, data: new Uint8Array(image.data) });
    assert.is(best.label, "red");
    net.dispose();
    gpu.close();
  });

  inBrowser("the camera: recorded while a button is held, by mouse and by key, and answered", async () => {
    await press("Start over").click();
    await press("Remove the class Class 3").click();
    await press("Camera").click();
    await press("Stop the camera").waitFor();
    const button = (place: number) => cards().nth(place).getByRole("button", { name: "Hold to record" });
    await button(0).hover();
    await page.mouse.down();
    await waitForSamples(0, /^[3-9] samples$/);
    await page.mouse.up();
    const [kept] = await counts();
    await button(1).focus();
    await page.keyboard.down("Space");
    await waitForSamples(1, /^[2-9] samples$/);
    await page.keyboard.up("Space");
    await button(1).tap();
    await page.getByLabel("Steps").fill("10");
    await train();
    await waitFor("teach-answer", /^Class [12]$/);
    assert.is((await counts())[0], kept);
    await inspect(page, "teach-camera");
    await press("Stop the camera").click();
    await press("Clear").click();
    await waitFor("teach-answer", /^\u00a0$/);
    assert.is(await page.locator("#teach-video").isVisible(), false);
  });

  inBrowser("ResNet-18: downloaded when asked for, with progress, and once", async () => {
    const asked: string[] = [];
    const body = await checkpoint(resnet18);
    await page.context().route("https://huggingface.co/timm/resnet18**", (route) => {
      asked.push(route.request().url());
      return route.fulfill({
        body,
        headers: { "access-control-allow-origin": "*", "content-length": `${body.length}` },
      });
    });
    await page.goto("about:blank");
    for (let visits = 0; visits < 2; visits++) {
      await page.goto(`${site?.origin}/#teach?net=resnet18`);
      await waitFor("teach-status", /^Load the weights of ResNet-18/);
      await press("Load ResNet-18, 46.8 MB").click();
      await waitFor("teach-status", /^ResNet-18 is loaded/);
      assert.is(asked.length, 1);
      await page.goto("about:blank");
    }
  });

  inBrowser("accessibility", () => assert.equal(inspected.violations, []));
}

/** A net's tensors, all random. */
async function checkpoint(net: AnyNet): Promise<Buffer> {
  const weights = randomWeights(net);
  const tensors = new Map<string, Tensor>();
  for (const [name, { shape }] of weights.tensors) tensors.set(name, { shape, data: await weights.read(name) });
  return Buffer.from(encodeSafetensors(tensors));
}

test.run();
