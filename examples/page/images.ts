import type { Tensor } from "../../engine/ground/tensor.ts";
import { ClassList } from "./class_list.ts";
import { acceptDrops, find, onColorScheme } from "./dom.ts";
import { duration, percent } from "./format.ts";
import { HeatPanel } from "./heat_panel.ts";
import { LayerView } from "./layers.ts";
import type { Page } from "./main.ts";
import { NetForm } from "./net_form.ts";
import { PictureView } from "./picture_view.ts";
import { Status } from "./status.ts";
import type { Heat } from "./worker/heat_map.ts";
import type { Answer } from "./worker/looking.ts";

const WEIGHTS_NAME = /\.(safetensors|pth|pt|bin|ckpt)$/i;
const NAMES_NAME = /\.(txt|json)$/i;

/** A net, a picture, and what one makes of the other. */
export function start(page: Page): void {
  const status = new Status(find("images-status"), find("images-problem"));
  // What is wrong with a picture does not hide what is wrong with the weights, nor the other way round.
  const pictures = new PictureView(new Status(find("images-status"), find("photo-problem")), look);
  const classes = new ClassList(chooseClass);
  const heat = new HeatPanel(() => showHeat(true), occlude);
  const layers = new LayerView(status, { activations, parameter });
  const form = new NetForm(page, status, changeNet);
  let listed = form.description;
  let answer: Answer | undefined;
  let turns = 0;

  acceptDrops(find("panel-images"), (file) => {
    if (NAMES_NAME.test(file.name)) form.readNames(file).catch((error) => status.fail(error));
    else if (WEIGHTS_NAME.test(file.name) || !file.type.startsWith("image/")) form.loadFile(file);
    else pictures.read(file);
  });
  onColorScheme(() => showHeat());
  pictures.readSample();

  function changeNet(): void {
    if (form.description && form.description !== listed) {
      listed = form.description;
      heat.describe(listed);
      pictures.crop(listed.crop);
      layers.list(listed);
    }
    turns++;
    classes.label(form.labels);
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
    if (!form.isLoaded) return;
    try {
      status.clear();
      if (!isFrame) find("answer").textContent = "Looking …";
      const gpu = await page.session.open();
      const copy = await createImageBitmap(picture);
      const next = await gpu.call<Answer>("look", [copy], { transfer: [copy] });
      if (turn !== turns) return;
      showAnswer(next, isFrame);
      await Promise.all([showHeat(), layers.update()]);
    } catch (error) {
      if (turn !== turns) return;
      showAnswer(undefined);
      layers.update();
      status.fail(error);
    }
  }

  /** An answer and what follows from it, or nothing of either; from one frame to the next the heat map stays until there is another. */
  function showAnswer(next: Answer | undefined, keep = false): void {
    answer = next;
    classes.show(next?.probabilities, keep);
    if (!keep) {
      heat.cancel();
      heat.clear();
    }
    const share = next && percent(next.probabilities[classes.best]);
    const best = next ? classes.nameOf(classes.best) : "";
    find("answer").textContent = next ? `${best}, ${share}, in ${duration(next.milliseconds)}` : "";
    find("caption").textContent = next ? `${best}, ${share}` : "";
    find("no-answer").hidden = form?.isLoaded ?? false;
  }

  function chooseClass(index: number): void {
    classes.choose(index);
    heat.clear();
    showHeat();
  }

  /** Shows the heat map of the class that is looked at; an occlusion is begun where it was `asked` for. */
  async function showHeat(asked = false): Promise<void> {
    const [of, index, turn, { kind }] = [answer, classes.chosen, turns, heat];
    if (asked) {
      heat.cancel();
      heat.clear();
    }
    if (!of || index === undefined || kind === "none") return;
    const isCurrent = () => turn === turns && answer === of && classes.chosen === index && heat.kind === kind;
    try {
      const found = await (await page.session.open()).call<Heat | undefined>("heat", [kind, index]);
      if (!isCurrent()) return;
      if (found) heat.show(found, classes.nameOf(index));
      else if (asked) await occlude();
      else heat.offer();
    } catch (error) {
      if (!isCurrent()) return;
      heat.clear();
      status.fail(error);
    }
  }

  async function occlude(): Promise<void> {
    const of = answer;
    if (!of) return;
    try {
      status.clear();
      heat.clear(classes.nameOf(classes.chosen ?? 0));
      await heat.during(async (signal) => {
        const gpu = await page.session.open();
        const onProgress = ({ loaded, total }: { loaded: number; total: number }) => heat.update(loaded, total);
        await gpu.call("occlude", [], { signal, onProgress });
      });
      if (answer === of && heat.kind === "occlusion") await showHeat();
    } catch (error) {
      if (answer !== of || heat.kind !== "occlusion") return;
      heat.offer();
      status.fail(error);
    }
  }

  async function activations(node: number): Promise<Tensor | undefined> {
    if (!form.isLoaded || !pictures.picture) return undefined;
    const turn = turns;
    try {
      return await (await page.session.open()).call<Tensor>("activations", [node]);
    } catch (error) {
      // Another picture has taken its place, and is asked about next.
      if (turn !== turns) return undefined;
      throw error;
    }
  }

  async function parameter(name: string, most: number): Promise<Tensor | undefined> {
    if (!form.isLoaded) return undefined;
    return (await page.session.open()).call<Tensor>("parameter", [name, most]);
  }
}
