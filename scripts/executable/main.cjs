// What the executable runs first: the bundle, with the code that V8 made of it in the build.
"use strict";
const { getRawAsset } = require("node:sea");
const { Script } = require("node:vm");

const asset = (name) => Buffer.from(getRawAsset(name));
const program = new Script(asset("import-images.js").latin1Slice(), {
  filename: "import-images.js",
  cachedData: asset("import-images.cache"),
});
// The build fails over anything that is written to stderr.
if (program.cachedDataRejected) console.error("warning: compiled code rejected");
program.runInThisContext();
