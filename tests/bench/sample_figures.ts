import type { Figures } from "../../engine/tuning/figures.ts";

/** A file of figures as somebody else has measured them. */
export const sampleFigures = (nets: Figures["nets"], failed: Figures["failed"] = []): Figures => ({
  format: "shadenet figures",
  version: 1,
  date: "2026-01-02T03:04:05.678Z",
  shadenet: "9.8.7",
  runtime: "Node 20.1.2",
  os: "linux x64",
  backend: "vulkan",
  adapter: { vendor: "maker", architecture: "arch", device: "Card 7", description: "driver 1.2", software: false },
  driver: "driver 1.2",
  nets,
  failed,
});
