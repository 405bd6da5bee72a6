import fc from "fast-check";
import { base64, ENCODINGS } from "./secret-forms.ts";
import { describe, expect, test } from "vitest";
import { credentialFromPair } from "../../../src/core/credentials.ts";
import { redactor } from "../../../src/core/redact.ts";

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
    ["Authorization:  Basic  dXNlcjpwdw==", `Authorization:  Basic  ${MASK}`],
    ["Get http://user:pw@harbor.example.com/v2/: EOF", `Get http://${MASK}@harbor.example.com/v2/: EOF`],
    ["Get https://user:pw@harbor.example.com/v2/: EOF", `Get https://${MASK}@harbor.example.com/v2/: EOF`],
    ['invalid decoded auth: "useronly\\x00"', `invalid decoded auth: "${MASK}"`],
    [
      'msg="pull: invalid decoded auth: \\"us\\\\\\"er\\\\x00\\""',
      `msg="pull: invalid decoded auth: "${MASK}"`,
    ],
    ['invalid decoded auth: "cut o', `invalid decoded auth: "${MASK}"`],
    ["https://s3/x?X-Amz-Signature=abc123&a=b", `https://s3/x?X-Amz-Signature=${MASK}&a=${MASK}`],
    ['Get "https://auth/token?a=b&token=abc": EOF', `Get "https://auth/token?a=${MASK}&token=${MASK}": EOF`],
    [
      '{"url":"/blob?X-Goog-Algorithm=G4\\u0026X-Goog-Signature=ab\\u0026Policy=cd"}',
      `{"url":"/blob?X-Goog-Algorithm=${MASK}\\u0026X-Goog-Signature=${MASK}\\u0026Policy=${MASK}"}`,
    ],
    [
      "<a href='/x?AWSAccessKeyId=AK&amp;Expires=1'>",
      `<a href='/x?AWSAccessKeyId=${MASK}&amp;Expires=${MASK}'>`,
    ],
    [String.raw`/blob?a=b\\u0026Policy=cd`, String.raw`/blob?a=${MASK}\\u0026Policy=${MASK}`],
    ['{"token" : "abc"}', `{"token" : "${MASK}"}`],
    ['{"access_token": "abc", "expires_in": 300}', `{"access_token": "${MASK}", "expires_in": 300}`],
    ['msg="{\\"token\\":\\"abc\\"}"', `msg="{\\"token\\":\\"${MASK}\\"}"`],
    ["token eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln was refused", `token ${MASK} was refused`],
  ])("%s", (text, masked) => {
    expect(none(text)).toBe(masked);
  });

  test.each(['Www-Authenticate: Basic realm="harbor"', "what? a=b & c=d", "a token was refused"])(
    "and %s stays as it is",
    (text) => {
      expect(none(text)).toBe(text);
    },
  );

  test("and a text without any stays as it is", () => {
    const text = 'failed to pull and unpack image "harbor.example.com/a@sha256:00": not found';
    expect(redact(text)).toBe(text);
    expect(none(text)).toBe(text);
  });
});

const PASSWORDS = [
  "hunter2",
  'a&b<c>"d',
  "pä ss/wörd+?",
  "x%41y",
  "back\\slash",
  "🗝️-key",
  "tab\there",
  "it's 1'",
  "correct horse",
];

describe("a password is masked in each spelling, and so is its pair with the user", () => {
  const spellings = PASSWORDS.flatMap((password) =>
    ENCODINGS.flatMap(([how, encode]) => [
      [password, how, encode(password)] as const,
      [`robot$team:${password}`, how, encode(`robot$team:${password}`)] as const,
    ]),
  );
  test.each(spellings)("%j %s", (secret, _how, spelling) => {
    const password = secret.replace("robot$team:", "");
    const known = redactor([credentialFromPair("robot$team", password)]);
    expect(known(`[${spelling}]`)).toBe(`[${MASK}]`);
  });

  test.each(PASSWORDS)("%j in base64, alone or with the user", (password) => {
    const known = redactor([credentialFromPair("robot$team", password)]);
    for (const secret of [base64(password), base64(`robot$team:${password}`)])
      for (const form of [secret, secret.replace(/=+$/u, "")])
        for (const spelling of [
          form,
          form.toUpperCase(),
          form.toLowerCase(),
          form.replaceAll("+", "-").replaceAll("/", "_"),
          encodeURIComponent(form),
        ])
          expect.soft(known(`[${spelling}]`)).toBe(`[${MASK}]`);
  });
});

test("a password is masked in quotes within quotes, five deep", () => {
  const password = 'a"b\\c';
  const quoted = Array.from({ length: 5 }).reduce((text: string) => JSON.stringify(text), password);
  expect(redactor([credentialFromPair("robot", password)])(quoted)).not.toContain("b");
});

describe("what is left of a password where something ends at a character of it", () => {
  const known = redactor([credentialFromPair("robot", 'swordfish "of; the deep')]);
  test.each([
    ["a blank", 'malformed HTTP status code "swordfish"', `malformed HTTP status code "${MASK}"`],
    ["a semicolon", 'unexpected media type swordfish "of for', `unexpected media type ${MASK} for`],
    ["a number sign, as HTML", "http://[swordfish &#34", `http://[${MASK}&#34`],
  ])("is masked: %s", (_end, text, masked) => {
    expect(known(text)).toBe(masked);
  });

  test("is masked from eight characters on", () => {
    const short = redactor([
      credentialFromPair("robot", "eightchr, tea"),
      credentialFromPair("b", "seven77, tea"),
    ]);
    expect(short("eightchr seven77")).toBe(`${MASK} seven77`);
  });

  test.each(["containerd; said", "mug? of tea"])(
    "unless it is a word of such messages, or short: %j",
    (password) => {
      const text = "containerd said mug";
      expect(redactor([credentialFromPair("robot", password)])(text)).toBe(text);
    },
  );
});

describe("a password that is very short, or a word of such messages", () => {
  const TEXT = 'failed to pull image "app:1.4": a manifest was not found, status 401, the password is wrong';
  const weak = ["a", "pull", "found", "status", "401", "manifest", "wrong", "1"];
  test.each(weak)("leaves a message readable: %j", (password) => {
    expect(redactor([credentialFromPair("robot", password)])(TEXT)).toBe(TEXT);
  });

  test.each(weak)("is masked beside its user or a word for it: %j", (password) => {
    const known = redactor([
      credentialFromPair("robot$team", password),
      credentialFromPair("other", password),
    ]);
    for (const [before, after] of [
      ["robot$team:", ""],
      ["robot%24team%3A", ""],
      ["https://x/robot$team/", ""],
      ['user "robot$team", ', ""],
      ['{"username":"other","password":"', '"}'],
      ["password=", "&"],
      ["password: ", ","],
    ] as const)
      expect
        .soft(known(`${before}${password}${after} pull`))
        .toMatch(new RegExp(`^${RegExp.escape(before)}\\[redacted\\]${RegExp.escape(after)} pull$`, "u"));
  });

  test.each([
    ["robot@", `robot@: ${MASK}`],
    ["@@", "robot@: pull"],
  ])("is masked beside the last word of its user %j, if it has one", (user, masked) => {
    const known = redactor([credentialFromPair(user, "pull")]);
    expect(known("robot@: pull")).toBe(masked);
    expect(known(TEXT)).toBe(TEXT);
    expect(known("password: pull")).toBe(`password: ${MASK}`);
  });

  test("is left beside any other word of its user", () => {
    const known = redactor([credentialFromPair("pull robot", "image")]);
    expect(known("to pull image; robot: image")).toBe(`to pull image; robot: ${MASK}`);
  });

  test("is masked in base64, with its user or alone", () => {
    const known = redactor([credentialFromPair("robot", "pull")]);
    expect(known(`${base64("robot:pull")} ${base64("pull")}`)).toBe(`${MASK} ${MASK}`);
  });

  test("is masked beside its user also where it is made of punctuation", () => {
    expect(redactor([credentialFromPair("robot", "@:")])("robot:@: no, @: no")).toBe(
      `robot:${MASK} no, @: no`,
    );
  });

  test("is no other word: that is masked wherever it stands", () => {
    expect(redactor([credentialFromPair("robot", "monkey")])('{"detail":"monkey"}')).toBe(
      `{"detail":"${MASK}"}`,
    );
  });

  test.each(["5000", "12345"])("leaves ports and sizes legible: %s", (password) => {
    const text = "10.0.0.5:5000/a:1 has 12345 bytes";
    expect(redactor([credentialFromPair("robot", password)])(text)).toBe(text);
  });

  test.each(["123456", "monkey1", "1monkey", "qzxj"])(
    "is no longer number, and no other word: %s",
    (password) => {
      expect(redactor([credentialFromPair("robot", password)])(`got ${password} bytes`)).toBe(
        `got ${MASK} bytes`,
      );
    },
  );

  test("that is empty masks nothing but its base64", () => {
    const known = redactor([credentialFromPair("robot", "")]);
    expect(known(`robot: ${base64("robot:")}`)).toBe(`robot: ${MASK}`);
  });
});

describe("for any user, password and text", () => {
  const character = fc.nat(0x10_ff_ff).map((code) => String.fromCodePoint(code));
  const secret = fc
    .oneof(
      fc.string({ unit: character, minLength: 4, maxLength: 12 }),
      fc.string({
        unit: fc.constantFrom(..."$^.*+?()[]{}|\\/\"'-ab:=&% ".split("")),
        minLength: 4,
        maxLength: 8,
      }),
      fc.constantFrom("redacted", "$&$&", "$<scheme>", "Basic ", "ünïcödé", "🗝️🗝️", "[redacted]"),
    )
    .filter((text) => text.isWellFormed() && !text.includes("\0"))
    // No ordinary word, which is masked in some places only, and no line end.
    .map((text) => `${text}9#`);
  const user = fc.constantFrom("robot", "robot$team", "a b");

  test("no spelling of the secret is left between the masks", () => {
    fc.assert(
      fc.property(
        user,
        secret,
        fc.constantFrom(...ENCODINGS),
        fc.string(),
        (name, password, [, encode], text) => {
          const spelling = encode(password);
          const left = redactor([credentialFromPair(name, password)])(
            `${text} ${spelling} ${base64(password)}`,
          ).split(MASK);
          const kept = (piece: string): boolean =>
            piece.includes(spelling) || piece.includes(base64(password));
          expect(left.filter((piece) => kept(piece))).toEqual([]);
        },
      ),
      { numRuns: 600, seed: 14 },
    );
  });
});

test("much evidence and a thousand logins are masked as little of them is", () => {
  const many = redactor(
    Array.from({ length: 1_000 }, (_, n) =>
      credentialFromPair(`user${n}`, n % 2 === 0 ? `password-${n}` : `pw${n}`),
    ),
  );
  // Each of 20,000 levels of escapes would be one more pass.
  const nested = `%${"25".repeat(20_000)}`;
  expect(many(nested)).toBe(nested);
  for (const piece of ["a", "https://", "\\", "password-", "%41", "\n ", "Basic realm "])
    expect(many(piece.repeat(20_000))).toBe(piece.repeat(20_000));
  for (const [piece, masked] of [
    ["password-2 ", `${MASK} `],
    ["?token=x ", `?token=${MASK} `],
    ["user1:pw1 ", `user1:${MASK} `],
  ] as const)
    expect(many(piece.repeat(20_000))).toBe(masked.repeat(20_000));
});
