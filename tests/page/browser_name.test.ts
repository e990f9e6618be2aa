import { test } from "uvu";
import * as assert from "uvu/assert";
import { describeBrowser } from "../../examples/page/browser_name.ts";

const KIT = "AppleWebKit/537.36 (KHTML, like Gecko)";
const WINDOWS = "Windows NT 10.0; Win64; x64";
const MAC = "Macintosh; Intel Mac OS X 10_15_7";

test("browsers are told apart, though each claims to be the others", () => {
  const cases: [string, string, string][] = [
    [`Mozilla/5.0 (${WINDOWS}) ${KIT} Chrome/147.0.0.0 Safari/537.36`, "Chrome 147.0.0.0", WINDOWS],
    [
      `Mozilla/5.0 (X11; Linux x86_64) ${KIT} HeadlessChrome/147.0.1.2 Safari/537.36`,
      "Chrome 147.0.1.2",
      "X11; Linux x86_64",
    ],
    [`Mozilla/5.0 (${WINDOWS}) ${KIT} Chrome/147.0.0.0 Safari/537.36 Edg/147.0.3.4`, "Edge 147.0.3.4", WINDOWS],
    [`Mozilla/5.0 (${WINDOWS}) ${KIT} Chrome/147.0.0.0 Safari/537.36 OPR/120.0.0.0`, "Opera 120.0.0.0", WINDOWS],
    [`Mozilla/5.0 (${MAC}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15`, "Safari 26.0", MAC],
    [`Mozilla/5.0 (${WINDOWS}; rv:141.0) Gecko/20100101 Firefox/141.0`, "Firefox 141.0", `${WINDOWS}; rv:141.0`],
    ["Ladybird", "Ladybird", "unknown"],
    ["", "", "unknown"],
  ];
  for (const [agent, runtime, os] of cases) assert.equal(describeBrowser(agent), { runtime, os });
});

test.run();
