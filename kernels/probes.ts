import { copy } from "./copy.ts";
import { peak, reference } from "./peak.ts";

/** What the roofline of a device is measured with: see engine/tuning/roofline.ts. */
export const probes = { peak, peakReference: reference, copy };
