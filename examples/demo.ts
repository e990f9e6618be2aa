// npm run demo: builds the page and serves it on loopback; with --out FOLDER it only puts its files there.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildPage } from "./build_page.ts";

const USAGE = "usage: npm run demo [-- --port N | --out FOLDER]";

function readArguments(): { readonly out?: string; readonly port?: number } {
  try {
    const { values } = parseArgs({ options: { out: { type: "string" }, port: { type: "string" } } });
    const port = values.port === undefined ? undefined : Number(values.port);
    if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port < 65536)) {
      throw new Error(`--port is "${values.port}"; it must be a number up to 65535`);
    }
    return { out: values.out, port };
  } catch (error) {
    console.error(`${(error as Error).message.split("\n")[0]}; ${USAGE}`);
    process.exit(2);
  }
}

const { out, port } = readArguments();
const folder = out ?? fileURLToPath(new URL("../demo", import.meta.url));
try {
  const bundler = await buildPage(folder);
  if (out !== undefined) {
    await bundler.dispose();
    console.log(`${out} has the page: any web server can send it`);
  } else {
    const { port: taken } = await bundler.serve({ servedir: folder, host: "127.0.0.1", port });
    console.log(`http://127.0.0.1:${taken}/ has the page; Ctrl+C ends it`);
  }
} catch (error) {
  console.error(`the page cannot be built: ${(error as Error).message.split("\n")[0]}`);
  process.exit(1);
}
