import type { AnyNet } from "../engine/net.ts";
import { lenet5 } from "./lenet.ts";

/** Every net by its name. */
export const nets: Readonly<Record<string, AnyNet>> = { lenet5 };
