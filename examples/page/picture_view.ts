import { Camera } from "./camera.ts";
import { find, IN_MEMORY, make } from "./dom.ts";
import { readPhoto } from "./photo.ts";
import type { Status } from "./status.ts";

/** Photos that come with the page: examples/photos/SOURCES.md says whose they are. */
const SAMPLES = [
  { file: "cat", title: "A cat (photo: Stefan van der Walt, CC0)" },
  { file: "coffee", title: "A cup of coffee (photo: Rachel Michetti, CC0)" },
  { file: "rocket", title: "A launch (photo: SpaceX, public domain)" },
  { file: "astronaut", title: "An astronaut (photo: NASA, public domain)" },
];

/** The picture to look at, and where it comes from. */
export class PictureView {
  readonly #frame = find("photo");
  readonly #canvas = find("picture", HTMLCanvasElement);
  readonly #video = find("video", HTMLVideoElement);
  readonly #crop = find("crop");
  readonly #camera = new Camera(this.#video);
  readonly #status: Status;
  readonly #onPicture: (picture: ImageBitmap, isFrame?: boolean) => Promise<void>;
  #picture: ImageBitmap | undefined;
  #turn = 0;
  /** The part of a picture's shorter side that the net looks at. */
  #part = 1;

  /** `onPicture` is given each new picture and its promise waited for; the camera shows the next one then. */
  constructor(status: Status, onPicture: (picture: ImageBitmap, isFrame?: boolean) => Promise<void>) {
    this.#status = status;
    this.#onPicture = onPicture;
    const file = find("photo-file", HTMLInputElement);
    find("choose-photo").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      if (file.files?.[0]) this.read(file.files[0]);
      file.value = "";
    });
    find("photo-samples").append(...SAMPLES.map(({ file, title }) => this.#sample(`photos/${file}.webp`, title)));
    find("camera").addEventListener("click", () => (this.#camera.isOn ? this.#stopCamera() : this.#startCamera()));
    addEventListener("paste", (event) => {
      const pasted = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (pasted && !find("panel-images").hidden) this.read(pasted);
    });
    // Nobody is filmed who looks at something else.
    addEventListener("hashchange", () => this.#stopCamera());
  }

  #sample(address: string, title: string): HTMLElement {
    const image = make("img", { src: address, alt: title, width: "96", height: "64" });
    const button = make("button", { type: "button", class: "thumb", title }, image);
    button.addEventListener("click", () => this.readSample(address));
    return button;
  }

  /** Shows a photo that comes with the page: the first one, if not said, unless there is another picture by then. */
  async readSample(address?: string): Promise<void> {
    const turn = ++this.#turn;
    try {
      const response = await fetch(address ?? `photos/${SAMPLES[0].file}.webp`);
      if (!response.ok) throw new Error(`the photo is not where the page was: ${response.status}`);
      const photo = await response.blob();
      if (turn === this.#turn) await this.read(photo);
    } catch (error) {
      if (turn === this.#turn) this.#status.fail(error);
    }
  }

  get picture(): ImageBitmap | undefined {
    return this.#picture;
  }

  /** Shows a photo, or says why it cannot. The one that was asked for last is shown. */
  async read(file: Blob): Promise<void> {
    const turn = ++this.#turn;
    try {
      this.#status.clear();
      const picture = await readPhoto(file);
      if (turn === this.#turn) await this.show(picture);
      else picture.close();
    } catch (error) {
      if (turn === this.#turn) this.#status.fail(error);
    }
  }

  async show(picture: ImageBitmap): Promise<void> {
    this.#stopCamera();
    this.#keep(picture);
    this.#canvas.width = picture.width;
    this.#canvas.height = picture.height;
    this.#canvas.ariaLabel = `The picture, ${picture.width} × ${picture.height} pixels`;
    this.#canvas.getContext("2d", IN_MEMORY)?.drawImage(picture, 0, 0);
    this.#fit(picture);
    await this.#onPicture(picture);
  }

  #keep(picture: ImageBitmap): void {
    if (this.#picture !== picture) this.#picture?.close();
    this.#picture = picture;
  }

  /** The net cuts this part of the shorter side out of the middle. */
  crop(part: number): void {
    this.#part = part;
    const { width, height } = this.#canvas;
    if (this.#picture) this.#fit(this.#camera.isOn ? this.#picture : { width, height });
  }

  /** Frames the square that the net cuts out. */
  #fit({ width, height }: { readonly width: number; readonly height: number }): void {
    const side = this.#part * Math.min(width, height);
    this.#frame.classList.remove("empty");
    this.#frame.style.aspectRatio = `${width} / ${height}`;
    this.#crop.hidden = false;
    this.#crop.style.inset = `${50 - (50 * side) / height}% ${50 - (50 * side) / width}%`;
  }

  async #startCamera(): Promise<void> {
    this.#turn++;
    try {
      this.#status.clear();
      await this.#camera.start();
      this.#showVideo(true);
      this.#fit({ width: this.#video.videoWidth, height: this.#video.videoHeight });
      for (let frame = await this.#camera.frame(); frame; frame = await this.#camera.frame()) {
        this.#keep(frame);
        await this.#onPicture(frame, true);
      }
    } catch (error) {
      this.#stopCamera();
      this.#status.fail(error);
    }
  }

  /** What it saw last stays as the picture. */
  #stopCamera(): void {
    if (!this.#camera.isOn) return;
    this.#camera.stop();
    this.#showVideo(false);
    if (this.#picture) this.show(this.#picture);
  }

  #showVideo(isShown: boolean): void {
    this.#video.hidden = !isShown;
    this.#canvas.hidden = isShown;
    find("camera").ariaPressed = String(isShown);
    find("camera").textContent = isShown ? "Stop the camera" : "Camera";
  }
}
