// A worker that ends while it opens the GPU, as it does where the browser has no memory left for it.
import { serveGpu } from "../../browser.ts";

serveGpu(() => {
  setTimeout(() => (globalThis as unknown as { close(): void }).close(), 10);
  return new Promise(() => {});
});
