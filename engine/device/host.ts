import type { OpenSource } from "../weights/open.ts";

/** What differs between Node and a browser; engine/node/ has Node's. */
export interface Host {
  /** Adapters in order of preference, each tried until one answers. `fallback` says why it is not the first choice. */
  providers(): readonly {
    readonly fallback?: string;
    requestAdapter(options: GPURequestAdapterOptions): Promise<GPUAdapter | null | undefined>;
  }[];
  /** What to install when there is no adapter at all. */
  readonly advice: string;
  /**
   * Throws a GpuError (OUT_OF_MEMORY) where the machine, whose memory a software adapter's is, has fewer bytes free: a driver
   * would rather swap or be killed than refuse.
   */
  checkMemory?(bytes: number): void;
  /** Opens weights by path (in Node) or URL. */
  readonly open: OpenSource;
  /** Keeps small texts by name: what was measured, for the next time. */
  readonly storage?: {
    read(name: string): Promise<string | undefined>;
    /** Replaces a text by what `change` makes of it (undefined where there is none), with no other program in between. */
    update(name: string, change: (before: string | undefined) => string): Promise<void>;
  };
  /** Waits for the device; a software adapter in Node is slowed by plain polling. */
  settle?<T>(promise: Promise<T>): Promise<T>;
}
