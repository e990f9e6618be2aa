/** The camera in a video element. */
export class Camera {
  readonly #video: HTMLVideoElement;
  #stream: MediaStream | undefined;

  constructor(video: HTMLVideoElement) {
    this.#video = video;
  }

  get isOn(): boolean {
    return this.#stream !== undefined;
  }

  /** Throws an Error that says what to do about it. */
  async start(): Promise<void> {
    try {
      const video = { facingMode: "environment", width: { ideal: 640 } };
      this.#stream = await navigator.mediaDevices.getUserMedia({ video });
    } catch (cause) {
      const { name, message } = cause as Error;
      const reason = name === "NotAllowedError" ? "it was not allowed: allow it beside the address" : message;
      throw new Error(`the camera cannot be used: ${reason}; or drop a photo`, { cause });
    }
    this.#video.srcObject = this.#stream;
    await this.#video.play();
  }

  stop(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.#video.srcObject = null;
  }

  /** What it shows next; undefined once it is off. Waits while the page is hidden. */
  async frame(): Promise<ImageBitmap | undefined> {
    await new Promise((resolve) => this.#video.requestVideoFrameCallback(resolve));
    return this.isOn ? createImageBitmap(this.#video) : undefined;
  }
}
