#!/usr/bin/env node
import { Command } from "commander";
import { classifyCommand } from "./classify.ts";
import type { Context } from "./command.ts";
import { convertCommand } from "./convert.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { isMain, ownVersion } from "./package.ts";
import { runProgram } from "./program.ts";
import { runCommand } from "./run.ts";
import { summaryCommand } from "./summary.ts";

const COMMANDS = [classifyCommand, runCommand, summaryCommand, convertCommand, doctorCommand, demoCommand];

function shadenet(context: Context): Command {
  const program = new Command("shadenet")
    .description("Classical vision CNNs on WebGPU.")
    .version(ownVersion())
    .addHelpText("after", "\nExample:\n  $ npx shadenet demo");
  for (const make of COMMANDS) program.addCommand(make(context));
  return program;
}

if (isMain(import.meta.url)) await runProgram(shadenet, process.argv.slice(2));
