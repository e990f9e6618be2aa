#!/usr/bin/env node
import { Command } from "commander";
import type { Context } from "../tools/command.ts";
import { isMain, ownVersion } from "../tools/package.ts";
import { runProgram } from "../tools/program.ts";
import { benchCommand } from "./bench.ts";
import { classifyCommand } from "./classify.ts";
import { convertCommand } from "./convert.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { exportCommand } from "./export.ts";
import { profileCommand } from "./profile.ts";
import { runCommand } from "./run.ts";
import { summaryCommand } from "./summary.ts";
import { trainCommand } from "./train.ts";
import { tuneCommand } from "./tune.ts";

const COMMANDS = [
  classifyCommand,
  runCommand,
  trainCommand,
  summaryCommand,
  profileCommand,
  tuneCommand,
  benchCommand,
  convertCommand,
  exportCommand,
  doctorCommand,
  demoCommand,
];

/** The command `shadenet`. */
export function shadenet(context: Context): Command {
  const program = new Command("shadenet")
    .description("Classical vision CNNs on WebGPU.")
    .version(ownVersion())
    .addHelpText("after", "\nExample:\n  $ npx shadenet demo");
  for (const make of COMMANDS) program.addCommand(make(context));
  return program;
}

if (isMain(import.meta.url)) await runProgram(shadenet, process.argv.slice(2));
