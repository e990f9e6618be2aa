#!/usr/bin/env node
import { Command } from "commander";
import { classifyCommand } from "./classify.ts";
import type { Context } from "./command.ts";
import { convertCommand } from "./convert.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { exportCommand } from "./export.ts";
import { isMain, ownVersion } from "./package.ts";
import { profileCommand } from "./profile.ts";
import { runProgram } from "./program.ts";
import { runCommand } from "./run.ts";
import { summaryCommand } from "./summary.ts";
import { tuneCommand } from "./tune.ts";

const COMMANDS = [
  classifyCommand,
  runCommand,
  summaryCommand,
  profileCommand,
  tuneCommand,
  convertCommand,
  exportCommand,
  doctorCommand,
  demoCommand,
];

function shadenet(context: Context): Command {
  const program = new Command("shadenet")
    .description("Classical vision CNNs on WebGPU.")
    .version(ownVersion())
    .addHelpText("after", "\nExample:\n  $ npx shadenet demo");
  for (const make of COMMANDS) program.addCommand(make(context));
  return program;
}

if (isMain(import.meta.url)) await runProgram(shadenet, process.argv.slice(2));
