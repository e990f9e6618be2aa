import { IN_MEMORY } from "./dom.ts";

/** Sides in pixels: of what is drawn on, and of what the net is shown. */
const SIDE = 560;
const PICTURE = 140;

/** Width of a stroke on the pad; a pen's pressure changes it. */
const STROKE = 44;

interface Point {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

/** A canvas to draw on by mouse, pen or finger. */
export class Pad {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #small = new OffscreenCanvas(PICTURE, PICTURE);
  readonly #onChange: () => void;
  #strokes: Point[][] = [];
  #image: CanvasImageSource | undefined;

  constructor(canvas: HTMLCanvasElement, onChange: () => void) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", IN_MEMORY) as CanvasRenderingContext2D;
    this.#onChange = onChange;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
  }

  get isEmpty(): boolean {
    return this.#strokes.length === 0 && !this.#image;
  }

  clear(): void {
    this.#strokes = [];
    this.#image = undefined;
    this.redraw();
    this.#onChange();
  }

  /** Shows a picture in place of what was drawn. */
  show(image: CanvasImageSource): void {
    this.#strokes = [];
    this.#image = image;
    this.redraw();
    this.#onChange();
  }

  /** What is on the pad, as small as is enough for a digit. */
  picture(): ImageData {
    const context = this.#small.getContext("2d", IN_MEMORY) as OffscreenCanvasRenderingContext2D;
    context.clearRect(0, 0, PICTURE, PICTURE);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#canvas, 0, 0, PICTURE, PICTURE);
    return context.getImageData(0, 0, PICTURE, PICTURE);
  }

  /** Draws all again, as when the colours change. */
  redraw(): void {
    this.#context.clearRect(0, 0, SIDE, SIDE);
    if (this.#image) {
      // A picture may be transparent: its ground is paper then.
      this.#context.fillStyle = "white";
      this.#context.fillRect(0, 0, SIDE, SIDE);
      this.#context.imageSmoothingEnabled = false;
      this.#context.drawImage(this.#image, 0, 0, SIDE, SIDE);
    }
    for (const stroke of this.#strokes) for (let i = 0; i < stroke.length; i++) this.#drawPiece(stroke, i);
  }

  #begin(event: PointerEvent): void {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    this.#canvas.setPointerCapture(event.pointerId);
    const stroke = [this.#pointOf(event)];
    this.#strokes.push(stroke);
    this.#drawPiece(stroke, 0);
    this.#onChange();
  }

  #move(event: PointerEvent): void {
    if (!this.#canvas.hasPointerCapture(event.pointerId)) return;
    const stroke = this.#strokes.at(-1);
    if (!stroke) return;
    // Pens and mice report more often than the page is drawn.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length > 0 ? events : [event]) {
      stroke.push(this.#pointOf(each));
      this.#drawPiece(stroke, stroke.length - 1);
    }
    this.#onChange();
  }

  #pointOf({ clientX, clientY, pointerType, pressure }: PointerEvent): Point {
    const box = this.#canvas.getBoundingClientRect();
    const width = pointerType === "pen" && pressure > 0 ? STROKE * (0.5 + pressure) : STROKE;
    return { x: ((clientX - box.left) / box.width) * SIDE, y: ((clientY - box.top) / box.height) * SIDE, width };
  }

  /** From the middle before a point to the middle after it, bent towards the point. */
  #drawPiece(stroke: readonly Point[], i: number): void {
    const context = this.#context;
    const [before, point] = [stroke[Math.max(0, i - 1)], stroke[i]];
    const first = stroke[Math.max(0, i - 2)];
    context.strokeStyle = getComputedStyle(this.#canvas).color;
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = point.width;
    context.beginPath();
    context.moveTo((first.x + before.x) / 2, (first.y + before.y) / 2);
    context.quadraticCurveTo(before.x, before.y, (before.x + point.x) / 2, (before.y + point.y) / 2);
    context.lineTo(point.x, point.y);
    context.stroke();
  }
}
