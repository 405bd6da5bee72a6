import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseReference, type Reference } from "../../../src/core/reference.ts";

const SHA256 = `sha256:${"a1".repeat(32)}`;
const SHA512 = `sha512:${"0f".repeat(64)}`;

const read = (text: string): Reference => {
  const parsed = parseReference(text);
  if (typeof parsed === "string") throw new Error(`refused: ${parsed}`);
  return parsed;
};
const problemOf = (text: string): string => {
  const parsed = parseReference(text);
  return typeof parsed === "string" ? parsed : `accepted as ${parsed.name}`;
};

describe("a reference is normalised as containerd does", () => {
  test.each([
    ["nginx", "docker.io/library/nginx:latest"],
    ["nginx:1.27", "docker.io/library/nginx:1.27"],
    ["library/nginx", "docker.io/library/nginx:latest"],
    ["team/app", "docker.io/team/app:latest"],
    ["docker.io/nginx", "docker.io/library/nginx:latest"],
    ["docker.io/library/nginx", "docker.io/library/nginx:latest"],
    ["index.docker.io/nginx", "docker.io/library/nginx:latest"],
    ["index.docker.io/team/app:1", "docker.io/team/app:1"],
    ["registry-1.docker.io/team/app:1", "registry-1.docker.io/team/app:1"],
    ["registry-1.docker.io/nginx", "registry-1.docker.io/nginx:latest"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/app:2", "localhost:5000/app:2"],
    ["localhost:5000", "docker.io/library/localhost:5000"],
    ["harbor.example.com/a/b/c/d:v1.2.3-rc.1_x", "harbor.example.com/a/b/c/d:v1.2.3-rc.1_x"],
    ["harbor.example.com:443/a", "harbor.example.com:443/a:latest"],
    ["10.0.0.5:5000/a", "10.0.0.5:5000/a:latest"],
    ["[::1]:5000/a", "[::1]:5000/a:latest"],
    ["[2001:db8::1]/a/b:1", "[2001:db8::1]/a/b:1"],
    ["Registry/app", "Registry/app:latest"],
    ["HARBOR.example.com/app", "HARBOR.example.com/app:latest"],
    ["a.b/c.d_e__f-g---h", "a.b/c.d_e__f-g---h:latest"],
    ["a.b/c/f-g---h", "a.b/c/f-g---h:latest"],
    ["a".repeat(65), `docker.io/library/${"a".repeat(65)}:latest`],
    [`nginx@${SHA256}`, `docker.io/library/nginx@${SHA256}`],
    [`nginx:1.27@${SHA256}`, `docker.io/library/nginx@${SHA256}`],
    [`localhost:5000/a@${SHA512}`, `localhost:5000/a@${SHA512}`],
    [`a.b/c:${"t".repeat(128)}`, `a.b/c:${"t".repeat(128)}`],
    [`a.b/c:_x`, "a.b/c:_x"],
    ["a".repeat(63), `docker.io/library/${"a".repeat(63)}:latest`],
    [`${"a".repeat(63)}g`, `docker.io/library/${"a".repeat(63)}g:latest`],
  ])("%s", (text, name) => {
    expect(read(text).name).toBe(name);
  });

  test("with its parts", () => {
    expect(read("[::1]:5000/team/app:1")).toEqual({
      name: "[::1]:5000/team/app:1",
      domain: "[::1]:5000",
      path: "team/app",
      tag: "1",
    });
  });

  test("and a tag beside a digest is dropped, so that the digest alone decides", () => {
    expect(read(`team/app:1@${SHA256}`)).toEqual({
      name: `docker.io/team/app@${SHA256}`,
      domain: "docker.io",
      path: "team/app",
      digest: SHA256,
    });
  });
});

describe("a malformed reference is refused with what is wrong", () => {
  test.each([
    ["", "is empty"],
    [" nginx", "white space"],
    ["nginx ", "white space"],
    ["ngi nx", "white space"],
    ["nginx\n", "white space"],
    ["nginx\u0000", "control character"],
    ["nginx\u0085", "control character"],
    ["nginx\u00a0", "white space"],
    ["a".repeat(64), "64-digit identifier"],
    ["-nginx", "malformed repository"],
    ["--help", "malformed repository"],
    ["-a.b/c", "malformed registry host"],
    ["a-.b/c", "malformed registry host"],
    ["a..b/c", "malformed registry host"],
    ["a.b:/c", "malformed registry host"],
    ["a.b:http/c", "malformed registry host"],
    [":5000/c", "malformed registry host"],
    ["[::1/c", "malformed registry host"],
    ["https://a.b/c", "is a URL: write it without https://"],
    ["HTTP://a.b/c:1", "is a URL: write it without http://"],
    ["docker://a.b/c", "is a URL: write it without docker://"],
    ["ftp://a.b/c", "malformed registry host"],
    ["xhttps://a.b/c", "malformed registry host"],
    ["user:password@a.b/c", "malformed digest"],
    ["a.b/", "names no repository"],
    ["a.b/:1", "names no repository"],
    ["Nginx", "upper case"],
    ["a.b/Team/app", "upper case"],
    ["a.b//c", "malformed repository"],
    ["a.b/c/", "malformed repository"],
    ["/c", "malformed repository"],
    ["a.b/c___d", "malformed repository"],
    ["a.b/c..d", "malformed repository"],
    ["a.b/-c", "malformed repository"],
    ["a.b/c-", "malformed repository"],
    ["a.b/ü", "malformed repository"],
    ["a.b/$(touch pwned)", "white space"],
    ["a.b/$(id)", "malformed repository"],
    ["a.b/c:", "malformed tag"],
    ["a.b/c:-x", "malformed tag"],
    ["a.b/c:.x", "malformed tag"],
    ["a.b/c:x:y", "malformed tag"],
    ["a.b/c:x/y", "malformed tag"],
    [`a.b/c:${"t".repeat(129)}`, "malformed tag"],
    [`a.b/${"c".repeat(256)}`, "more than 255"],
    ["a.b/c@", "malformed digest"],
    ["a.b/c@sha256", "malformed digest"],
    [`a.b/c@sha256:${"a".repeat(63)}`, "malformed digest"],
    [`a.b/c@sha256:${"a".repeat(65)}`, "malformed digest"],
    [`a.b/c@sha256:${"A".repeat(64)}`, "malformed digest"],
    [`a.b/c@sha256:${"g".repeat(64)}`, "malformed digest"],
    [`a.b/c@md5:${"a".repeat(32)}`, "malformed digest"],
    [`a.b/c@${SHA256}@${SHA256}`, "malformed digest"],
    [`a.b/c@${SHA256}:1`, "malformed digest"],
    [`@${SHA256}`, "names no repository"],
  ])("%j", (text, problem) => {
    expect(problemOf(text)).toContain(problem);
  });

  test("and a repository of exactly 255 characters is not too long, however long its host is", () => {
    const host = `${"h".repeat(60)}.example.com:5000`;
    expect(read(`${host}/${"c".repeat(255)}:1`).name).toBe(`${host}/${"c".repeat(255)}:1`);
  });
});

const label = fc.stringMatching(/^[a-z0-9]{1,8}$/u);
const hosts = fc.oneof(
  fc.constantFrom(
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "localhost",
    "[::1]",
    "[fe80::1]:5000",
  ),
  fc
    .tuple(label, label, fc.option(fc.integer({ min: 0, max: 65_535 })))
    .map(([a, b, port]) => `${a}.${b}${port === null ? "" : `:${port}`}`),
);
const written = fc
  .record({
    host: fc.option(hosts),
    path: fc.array(label, { minLength: 1, maxLength: 4 }),
    tag: fc.option(fc.stringMatching(/^\w[\w.-]{0,20}$/u)),
    digest: fc.option(fc.constantFrom(SHA256, SHA512)),
  })
  .map(({ host, path, tag, digest }) =>
    [
      ...(host === null ? [] : [host, "/"]),
      path.join("/"),
      ...(tag === null ? [] : [":", tag]),
      ...(digest === null ? [] : ["@", digest]),
    ].join(""),
  );
/** Anything, with the characters that references are made of more often than by chance. */
const anything = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom(..."aA0./:@-_[]$ \n\0\u007f".split("")) }),
  written,
  fc.tuple(written, fc.string()).map(([a, b]) => a + b),
);

describe("for any text", () => {
  test("what is printed is read back as the same reference", () => {
    fc.assert(
      fc.property(anything, (text) => {
        const first = parseReference(text);
        if (typeof first === "object") expect(parseReference(first.name)).toEqual(first);
      }),
      { numRuns: 3_000 },
    );
  });

  test("a well-formed one is accepted", () => {
    fc.assert(fc.property(written, (text) => typeof parseReference(text) === "object"));
  });

  test("an accepted name can stand in an argument vector: no white space, no control character, no option", () => {
    fc.assert(
      fc.property(anything, (text) => {
        const parsed = parseReference(text);
        if (typeof parsed === "object") expect(parsed.name).toMatch(/^(?!-)[!-~]+$/u);
      }),
      { numRuns: 3_000 },
    );
  });

  test("a problem is the same whatever the text holds, so it cannot repeat a secret", () => {
    const marker = fc.stringMatching(/^S3CR3T[\w$ ]{4,20}$/u);
    fc.assert(
      fc.property(anything, marker, anything, (before, secret, after) => {
        const parsed = parseReference(before + secret + after);
        if (typeof parsed === "string") expect(parsed).not.toContain("S3CR3T");
      }),
      { numRuns: 3_000 },
    );
  });

  test.each(["a.", "a-", "a/", ":", "_", "-", "@", "[", "a:"])(
    "a huge text is refused, and does not hang: %j",
    (piece) => {
      expect(parseReference(piece.repeat(200_000))).toBeTypeOf("string");
      expect(parseReference(`a.b/${piece.repeat(200_000)}!`)).toBeTypeOf("string");
    },
  );
});

test.each([
  [SHA256, true],
  [SHA512, true],
  [`sha384:${"b".repeat(96)}`, true],
  [`sha256:${"b".repeat(96)}`, false],
  [`sha1:${"b".repeat(40)}`, false],
  [`__proto__:${"b".repeat(64)}`, false],
  ["sha256:", false],
  ["", false],
])("whether %j is a digest is %s", (text, expected) => {
  expect(typeof parseReference(`a.b/c@${text}`) === "object").toBe(expected);
});
