import type { Tensor } from "../../engine/ground/tensor.ts";
import { showBars } from "./bars.ts";
import { acceptDrops, find } from "./dom.ts";
import { duration } from "./format.ts";
import { LayerView } from "./layers.ts";
import type { Page } from "./main.ts";
import { NetForm } from "./net_form.ts";
import { PictureView } from "./picture_view.ts";
import { Status } from "./status.ts";
import type { Answer } from "./worker/looking.ts";

const WEIGHTS_NAME = /\.(safetensors|pth|pt|bin|ckpt)$/i;

/** A net, a picture, and what one makes of the other. */
export function start(page: Page): void {
  const status = new Status(find("images-status"), find("images-problem"));
  // What is wrong with a picture does not hide what is wrong with the weights, nor the other way round.
  const pictures = new PictureView(new Status(find("images-status"), find("photo-problem")), look);
  const layers = new LayerView(status, activationsOf);
  const form = new NetForm(page, status, changeNet);
  const heatMap = find("heat-map", HTMLInputElement);
  let listed = form.description;
  let answer: Answer | undefined;
  let turns = 0;

  heatMap.addEventListener("change", () => {
    if (heatMap.checked) chooseClass(0);
    else pictures.showHeat(undefined);
  });
  acceptDrops(find("panel-images"), (file) => {
    if (WEIGHTS_NAME.test(file.name) || !file.type.startsWith("image/")) form.load({ file });
    else pictures.read(file);
  });

  function changeNet(): void {
    if (form.description && form.description !== listed) {
      listed = form.description;
      layers.list(listed.layers);
    }
    showAnswer(undefined);
    if (form.isLoaded && pictures.picture) look(pictures.picture);
    else layers.update();
  }

  /**
   * Answers for a picture; what goes wrong is said on the page. Until then no other picture's answer is shown, but for
   * the last frame's of a camera. What is asked for meanwhile is answered in its place.
   */
  async function look(picture: ImageBitmap, isFrame = false): Promise<void> {
    const turn = ++turns;
    if (!isFrame) {
      showAnswer(undefined);
      layers.fade();
    }
    if (!form.isLoaded) {
      status.say("Choose weights for the net.");
      return;
    }
    try {
      status.clear();
      const gpu = await page.session.open();
      const copy = await createImageBitmap(picture);
      const next = await gpu.call<Answer>("look", [copy, { heat: heatMap.checked }], { transfer: [copy] });
      if (turn !== turns) return;
      showAnswer(next);
      await layers.update();
    } catch (error) {
      if (turn !== turns) return;
      showAnswer(undefined);
      layers.update();
      status.fail(error);
    }
  }

  function showAnswer(next: Answer | undefined, chosen = 0): void {
    answer = next;
    pictures.showHeat(heatMap.checked ? next?.heat : undefined);
    const bars = next?.top.map(({ label, probability }) => ({ label, share: probability })) ?? [];
    showBars(find("image-bars"), bars, chosen, chooseClass);
    find("answer").textContent = next ? `${next.top[0].label}, in ${duration(next.milliseconds)}` : "";
  }

  /** Shows the heat map of one of the classes that were named. */
  async function chooseClass(place: number): Promise<void> {
    const asked = answer;
    if (!asked) return;
    showBars(
      find("image-bars"),
      asked.top.map(({ label, probability }) => ({ label, share: probability })),
      place,
      chooseClass,
    );
    if (!heatMap.checked) return;
    try {
      const heat = await (await page.session.open()).call<ImageBitmap>("heat", [asked.top[place].index]);
      if (answer === asked && heatMap.checked) pictures.showHeat(heat);
    } catch (error) {
      status.fail(error);
    }
  }

  async function activationsOf(layer: string): Promise<Tensor | undefined> {
    if (!form.isLoaded || !pictures.picture) return undefined;
    return (await page.session.open()).call<Tensor>("activations", [layer]);
  }
}
