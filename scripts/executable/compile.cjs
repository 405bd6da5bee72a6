// Runs the bundle once, in the build, and keeps what V8 has compiled by its end: a start compiles functions as it comes to
// them, and does it anew each time. Compiling all of them at once takes longer still, and so does reading all that back.
"use strict";
const { readFileSync, writeFileSync } = require("node:fs");
const process = require("node:process");
const { setFlagsFromString } = require("node:v8");
const { Script } = require("node:vm");

// What V8 has found worth optimizing depends on the time, and is written down beside the code: without, each build has the
// same bytes. On again, because V8 takes no code that was made under other flags.
const optimize = (no) =>
  ["sparkplug", "maglev", "turbofan", "use-osr"].forEach((tier) => setFlagsFromString(`--${no}${tier}`));

optimize("no-");
const program = new Script(readFileSync("import-images.js", "latin1"), { filename: "import-images.js" });
process.on("exit", () => {
  optimize("");
  writeFileSync("import-images.cache", program.createCachedData());
  // There is no containerd.
  process.exitCode = process.exitCode === 3 ? 0 : 1;
});
program.runInThisContext();
