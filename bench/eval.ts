import { openNet } from "../cli/session.ts";
import { isMain } from "../cli/package.ts";
