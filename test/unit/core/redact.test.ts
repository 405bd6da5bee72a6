import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { credentialFromPair } from "../../../src/core/credentials.ts";
import { redactor, secretForms } from "../../../src/core/redact.ts";

const MASK = "[redacted]";
const redact = redactor([credentialFromPair("robot$team", "hunter2")]);
const AUTH = Buffer.from("robot$team:hunter2").toString("base64");

describe("a known secret is masked", () => {
  test.each([
    ["as base64", `auth ${AUTH} was given`, `auth ${MASK} was given`],
    ["as base64 without its padding", AUTH.replace(/=+$/u, ""), MASK],
    ["as a pair, with the user", "decoded robot$team:hunter2.", `decoded ${MASK}.`],
    ["as a bare password", "password hunter2!", `password ${MASK}!`],
    ["inside a word", "xhunter2x", `x${MASK}x`],
    ["percent-encoded", "robot%24team%3Ahunter2", MASK],
    ["more than once", "hunter2 hunter2", `${MASK} ${MASK}`],
  ])("%s", (_how, text, masked) => {
    expect(redact(text)).toBe(masked);
  });

  test.each([
    ["once, as Go does in an error", 'got "pa\\"ss\\\\word"', `got "${MASK}"`],
    ["twice, as in a logged error", 'msg="got \\"pa\\\\\\"ss\\\\\\\\word\\""', `msg="got \\"${MASK}\\""`],
  ])("quoted %s", (_how, text, masked) => {
    expect(redactor([credentialFromPair("robot", 'pa"ss\\word')])(text)).toBe(masked);
  });

  test("and of two, the longer one first", () => {
    const both = redactor([credentialFromPair("a", "hunter2"), credentialFromPair("b", "hunter2long")]);
    expect(both("hunter2long hunter2")).toBe(`${MASK} ${MASK}`);
  });
});

describe("a secret that we were never told is masked by its place", () => {
  const none = redactor([]);
  test.each([
    ["Authorization: Basic dXNlcjpwdw==", `Authorization: Basic ${MASK}`],
    ["bearer eyJhbGciOi.J9-_x", `bearer ${MASK}`],
    ["Get https://user:pw@harbor.example.com/v2/: EOF", `Get https://${MASK}@harbor.example.com/v2/: EOF`],
    ['invalid decoded auth: "useronly\\x00"', `invalid decoded auth: "${MASK}"`],
    [
      'msg="pull: invalid decoded auth: \\"us\\\\\\"er\\\\x00\\""',
      `msg="pull: invalid decoded auth: "${MASK}"`,
    ],
    ['invalid decoded auth: "cut o', `invalid decoded auth: "${MASK}"`],
    ["https://s3/x?X-Amz-Signature=abc123&a=b", `https://s3/x?X-Amz-Signature=${MASK}&a=b`],
    ['https://auth/token?a=b&token=abc"', `https://auth/token?a=b&token=${MASK}"`],
  ])("%s", (text, masked) => {
    expect(none(text)).toBe(masked);
  });

  test("and a text without any stays as it is", () => {
    const text = 'failed to pull and unpack image "harbor.example.com/a@sha256:00": not found';
    expect(redact(text)).toBe(text);
    expect(none(text)).toBe(text);
  });
});

const secret = fc.oneof(
  fc.string({ unit: "binary", minLength: 1, maxLength: 12 }),
  fc.string({
    unit: fc.constantFrom(..."$^.*+?()[]{}|\\/\"'-ab:=&% \n".split("")),
    minLength: 1,
    maxLength: 8,
  }),
  fc.constantFrom(
    "redacted",
    "[",
    "]",
    "d",
    "a",
    "$&",
    "$<scheme>",
    "Basic ",
    "ünïcödé",
    "🗝️",
    "\u0000",
    "\ud800",
  ),
);
const user = fc
  .oneof(fc.constantFrom("robot", "robot$team"), secret)
  .map((text) => text.replaceAll(":", "") || "u");

describe("for any user, password and text", () => {
  test("no form of the secret is left between the masks", () => {
    fc.assert(
      fc.property(
        user,
        secret,
        fc.array(fc.string(), { maxLength: 4 }),
        fc.nat(),
        (name, password, pieces, seed) => {
          const known = credentialFromPair(name, password);
          const forms = secretForms(known);
          const text = pieces.map((piece, index) => piece + forms[(seed + index) % forms.length]).join("");
          const left = redactor([known])(text).split(MASK);
          for (const form of forms) expect(left.filter((piece) => piece.includes(form))).toEqual([]);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("a second pass changes nothing, unless the mask itself holds the secret", () => {
    fc.assert(
      fc.property(user, secret, fc.string(), fc.string(), (name, password, before, after) => {
        const known = credentialFromPair(name, password);
        const again = redactor([known]);
        const once = again(`${before}${known.auth} ${password}${after}`);
        fc.pre(!secretForms(known).some((form) => overlaps(form)));
        expect(again(once)).toBe(once);
      }),
    );
  });
});

/** Whether a form could be found in a mask, or across its edge. */
const overlaps = (form: string): boolean => form.split("").some((letter) => MASK.includes(letter));

test("much evidence is masked in bounded time, whatever it is made of", () => {
  const many = redactor(
    Array.from({ length: 200 }, (_, n) => credentialFromPair(`user${n}`, `password-${n}`)),
  );
  const start = performance.now();
  for (const piece of ["a", "Basic ", "https://", "?token=", 'invalid decoded auth: "', "\\", "password-"]) {
    many(piece.repeat(Math.ceil(100_000 / piece.length)));
  }
  expect(performance.now() - start).toBeLessThan(5_000);
});

const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe("the forms of a secret", () => {
  test("hold it encoded, decoded, bare, escaped and for a URL", () => {
    const forms = secretForms(credentialFromPair("robot", 'p"/?\\>'));
    expect(forms).toEqual(
      expect.arrayContaining([
        base64('robot:p"/?\\>'),
        base64('robot:p"/?\\>').replace(/=+$/u, ""),
        'robot:p"/?\\>',
        'p"/?\\>',
        'p\\"/?\\\\>',
        'p\\\\\\"/?\\\\\\\\>',
        "p%22%2F%3F%5C%3E",
        "robot%3Ap%22%2F%3F%5C%3E",
      ]),
    );
  });

  test("hold no empty text, which would be found everywhere", () => {
    expect(secretForms(credentialFromPair("robot", ""))).not.toContain("");
  });
});
