import fc from "fast-check";
import { expect, test } from "vitest";
import { codeOf, printable } from "../../../src/core/plain-text.ts";

test.each([
  ["a colour", "\u001b[31mred\u001b[0m", "\\x1b[31mred\\x1b[0m"],
  ["a title of the terminal", "\u001b]0;owned\u0007x", "\\x1b]0;owned\\x07x"],
  ["C1, which some terminals take for ESC [", "\u009b2J", "\\x9b2J"],
  ["a carriage return that overwrites", "failed\rok", "failed ok"],
  ["lines", "one\r\n  two\n\nthree\u2028four\u0085five", "one two three four five"],
  ["a tab", "a\tb", "a b"],
  ["text that runs backwards", "a\u202ecod.exe", "a\\u202ecod.exe"],
  ["what cannot be seen", "a\u200bb\ufeffc\u{e0041}d", "a\\u200bb\\ufeffc\\u{e0041}d"],
  ["half a character", "a\ud800b", "a\ufffdb"],
  ["white space around", " \n a \n", "a"],
])("%s becomes harmless and stays legible", (_what, text, shown) => {
  expect(printable(text)).toBe(shown);
});

test.each(["harbor.example.com/a@sha256:00: not found", "ümlaut 你好 🗝", 'quotes "\\" and (brackets)'])(
  "%s stays as it is",
  (text) => {
    expect(printable(text)).toBe(text);
  },
);

test.each([
  ["of a system error", Object.assign(new Error("no"), { code: "ENOENT" }), "ENOENT"],
  ["that is a number", Object.assign(new Error("no"), { code: 2 }), undefined],
  ["of an error without one", new Error("no"), undefined],
  ["of what is no error", { code: "ENOENT" }, undefined],
  ["of a text", "ENOENT", undefined],
])("the code %s", (_what, error, code) => {
  expect(codeOf(error)).toBe(code);
});

test("any text becomes one line of visible characters, and stays that line", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(0x10_ff_ff), { maxLength: 12 }), (codes) => {
      const text = codes.map((code) => String.fromCodePoint(code % 3 === 0 ? code % 0x3000 : code)).join("");
      const shown = printable(text);
      expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      expect(printable(shown)).toBe(shown);
    }),
    { seed: 14 },
  );
});
