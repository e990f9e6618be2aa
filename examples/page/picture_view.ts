import { Camera } from "./camera.ts";
import { find, IN_MEMORY } from "./dom.ts";
import { readPhoto, testPicture } from "./photo.ts";
import type { Status } from "./status.ts";

/** The part of a picture's shorter side that the nets look at: 224 of 256 pixels. */
const CROP = 224 / 256;

/** The picture to look at, where it comes from, and what is drawn over it. */
export class PictureView {
  readonly #frame = find("photo");
  readonly #canvas = find("picture", HTMLCanvasElement);
  readonly #video = find("video", HTMLVideoElement);
  readonly #crop = find("crop");
  readonly #heat = find("heat", HTMLCanvasElement);
  readonly #camera = new Camera(this.#video);
  readonly #status: Status;
  readonly #onPicture: (picture: ImageBitmap, isFrame?: boolean) => Promise<void>;
  #picture: ImageBitmap | undefined;

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
    find("test-picture").addEventListener("click", () => {
      this.#status.clear();
      this.show(testPicture());
    });
    find("camera").addEventListener("click", () => (this.#camera.isOn ? this.#stopCamera() : this.#startCamera()));
    addEventListener("paste", (event) => {
      const pasted = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (pasted && !find("panel-images").hidden) this.read(pasted);
    });
    // Nobody is filmed who looks at something else.
    addEventListener("hashchange", () => this.#stopCamera());
  }

  get picture(): ImageBitmap | undefined {
    return this.#picture;
  }

  /** Shows a photo, or says why it cannot. */
  async read(file: Blob): Promise<void> {
    try {
      this.#status.clear();
      await this.show(await readPhoto(file));
    } catch (error) {
      this.#status.fail(error);
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

  /** Frames the square that the nets cut out. */
  #fit({ width, height }: { readonly width: number; readonly height: number }): void {
    const side = CROP * Math.min(width, height);
    this.#frame.classList.remove("empty");
    this.#frame.style.aspectRatio = `${width} / ${height}`;
    this.#crop.hidden = false;
    this.#crop.style.inset = `${50 - (50 * side) / height}% ${50 - (50 * side) / width}%`;
  }

  /** Shows a heat map over that square, or none. */
  showHeat(heat: ImageBitmap | undefined): void {
    this.#crop.classList.toggle("plain", heat === undefined);
    if (!heat) return;
    const context = this.#heat.getContext("2d", IN_MEMORY);
    context?.clearRect(0, 0, this.#heat.width, this.#heat.height);
    context?.drawImage(heat, 0, 0, this.#heat.width, this.#heat.height);
    heat.close();
  }

  async #startCamera(): Promise<void> {
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
