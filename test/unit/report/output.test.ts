import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readSync } from "node:fs";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { drained, openTerminal } from "../../../src/report/output.ts";
import { temporaryFolder } from "../folder.ts";

const folder = temporaryFolder();
let count = 0;

/** A FIFO blocks its writers as a stopped terminal does, when nobody reads it. */
function stopped() {
  const file = path.join(folder.path, `fifo-${(count += 1)}`);
  execFileSync("mkfifo", [file]);
  const reader = openSync(file, constants.O_RDWR | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(reader));
  const terminal = openTerminal(file);
  if (terminal === undefined) throw new Error("it cannot be opened");
  const taken: Buffer[] = [];
  /** Takes what is there, and gives all that came so far. */
  const read = (): string => {
    const buffer = Buffer.alloc(1_000_000);
    try {
      taken.push(buffer.subarray(0, readSync(reader, buffer)));
    } catch (error) {
      if (!String(error).includes("EAGAIN")) throw error;
    }
    return Buffer.concat(taken).toString();
  };
  const stream = {
    write: terminal.write,
    columns: 80,
    get pending() {
      return terminal.pending();
    },
  };
  return { ...terminal, stream, read };
}

describe("a terminal", () => {
  test("has at once what is written while it takes it", () => {
    const { write, pending, read } = stopped();
    write("one\n");
    write("two\n");
    expect(pending()).toBe(0);
    expect(read()).toBe("one\ntwo\n");
  });

  test("that takes no more holds up nobody, and has all in order when it goes on", async () => {
    const { write, pending, read, stream } = stopped();
    const lines = Array.from({ length: 20_000 }, (_, n) => `line ${n} ü\n`);
    lines.forEach(write);
    expect(pending()).toBeGreaterThan(0);
    const all = drained([stream], () => Number.POSITIVE_INFINITY);
    while (pending() > 0) {
      read();
      await new Promise(setImmediate);
    }
    await all;
    expect(read()).toBe(lines.join(""));
  });

  test("that takes nothing is not waited for longer than one's patience", async () => {
    const { write, pending, stream } = stopped();
    write("x".repeat(100_000));
    await drained([stream], () => 100);
    expect(pending()).toBeGreaterThan(0);
  });

  test("that has gone takes everything and fails nothing", () => {
    const terminal = openTerminal("/dev/full");
    terminal?.write("x");
    expect(terminal?.pending()).toBe(0);
  });

  test("that cannot be opened is left to Node", () => {
    expect(openTerminal(path.join(folder.path, "none"))).toBeUndefined();
  });
});
