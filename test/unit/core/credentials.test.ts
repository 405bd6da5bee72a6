import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  credentialFor,
  credentialFromAuth,
  credentialFromPair,
  registryHost,
  secretForms,
} from "../../../src/core/credentials.ts";
import { reference } from "../samples.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe("auth", () => {
  test.each([
    ["robot:hunter2", "hunter2"],
    ["robot:", ""],
    ["robot:a:b:c", "a:b:c"],
    ["u:påsswörd", "påsswörd"],
    ['u:"quoted" $(id) \\', '"quoted" $(id) \\'],
  ])("of %j gives its password", (pair, password) => {
    expect(credentialFromAuth(base64(pair))).toEqual({ auth: base64(pair), password });
  });

  test("may lack its padding or have white space around it, as text pasted from a terminal does", () => {
    const full = { auth: base64("user:pw"), password: "pw" };
    expect(credentialFromAuth(`  ${full.auth}\n`)).toEqual(full);
    expect(credentialFromAuth(full.auth.replace(/=+$/u, ""))).toEqual(full);
  });

  test.each([
    ["no base64", "robot:hunter2"],
    ["no colon", base64("robot")],
    ["no user", base64(":hunter2")],
    ["a NUL, which containerd cuts off", base64("robot:hunter2\0")],
    ["a line break inside", `${base64("robot:hunter2").slice(0, 8)}\n${base64("robot:hunter2").slice(8)}`],
    ["nothing", ""],
    ["only padding", "===="],
  ])("with %s is refused", (_what, auth) => {
    expect(credentialFromAuth(auth)).toBeUndefined();
  });

  test("of any pair is read back", () => {
    const user = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !/[:\0]/u.test(text));
    const password = fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0"));
    fc.assert(
      fc.property(user, password, (name, secret) => {
        const credential = credentialFromPair(name, secret);
        expect(credentialFromAuth(credential.auth)).toEqual(credential);
      }),
    );
  });
});

test.each([
  ["harbor.example.com", "harbor.example.com"],
  ["harbor.example.com:443", "harbor.example.com:443"],
  ["https://harbor.example.com/", "harbor.example.com"],
  ["http://10.0.0.5:5000/v2/", "10.0.0.5:5000"],
  ["https://index.docker.io/v1/", "docker.io"],
  ["docker.io", "docker.io"],
  ["registry-1.docker.io", "docker.io"],
])("the host of %s is %s", (text, host) => {
  expect(registryHost(text)).toBe(host);
});

describe("credentials for an image", () => {
  const one = credentialFromPair("one", "pw1");
  const two = credentialFromPair("two", "pw2");
  const registries = [
    { host: "harbor.example.com", credential: one },
    { host: "harbor.example.com", credential: two },
    { host: "harbor.example.com:8443", credential: two },
    { host: "docker.io", credential: two },
  ];
  test.each([
    ["harbor.example.com/a", one],
    ["harbor.example.com:8443/a", two],
    ["harbor.example.com:443/a", undefined],
    ["evil.harbor.example.com/a", undefined],
    ["nginx", two],
    ["index.docker.io/nginx", two],
    ["registry-1.docker.io/library/nginx", two],
  ])("%s are those of exactly its host, the first that is listed", (name, credential) => {
    expect(credentialFor(reference(name), registries)).toEqual(credential);
  });
});

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
