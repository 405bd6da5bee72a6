import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  credentialFromPair,
  isScope,
  loginFor,
  parseAuth,
  registryScope,
} from "../../../src/core/credentials.ts";
import { reference } from "../samples.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
/** In lines of 76 columns, as `base64` prints it. */
const wrapped = (text: string, separator = "\n"): string => (text.match(/.{1,76}/gu) ?? []).join(separator);

describe("auth", () => {
  test.each([
    ["robot:hunter2", "hunter2"],
    ["robot:", ""],
    ["robot:a:b:c", "a:b:c"],
    ["u:påsswörd", "påsswörd"],
    ['u:"quoted" $(id) \\', '"quoted" $(id) \\'],
  ])("of %j gives its password", (pair, password) => {
    expect(parseAuth(base64(pair))).toEqual({ auth: base64(pair), password });
  });

  const long = `robot$team:${"correct horse battery staple ".repeat(5)}?>`;
  test.each([
    ["without its padding", base64("user:pw").replace(/=+$/u, ""), "user:pw"],
    ["with white space around it", `  ${base64("user:pw")}\n`, "user:pw"],
    ["of a text with a line end, as echo without -n makes it", base64("robot:hunter2\n"), "robot:hunter2"],
    ["of a text with a DOS line end", base64("robot:hunter2\r\n"), "robot:hunter2"],
    ["wrapped at 76 columns", wrapped(base64(long)), long],
    ["wrapped and folded by YAML", wrapped(base64(long), " "), long],
    ["wrapped and indented", wrapped(base64(long), "\r\n    "), long],
  ])("%s is what it is meant to be", (_how, auth, pair) => {
    expect(parseAuth(auth)).toEqual({ auth: base64(pair), password: pair.slice(pair.indexOf(":") + 1) });
  });

  test("keeps bytes that are no UTF-8, as old registries have them", () => {
    const auth = Buffer.from("robot:p\xE4ss", "latin1").toString("base64");
    expect(parseAuth(auth)).toMatchObject({ auth });
  });

  test.each([
    ["a pair as it is", "robot:hunter2"],
    ["a password alone", base64("hunter2")],
    ["no user", base64(":hunter2")],
    ["a docker config.json", '{"auths": {}}'],
    ["its base64", base64('{"auths": {"a.b": {"auth": "x"}}}')],
    ["a variable", "((harbor_auth))"],
    ["a token", "eyJhbGciOi.J9.x"],
    ["a header", `Basic ${base64("user:pw")}`],
    ["quotes", `"${base64("user:pw")}"`],
    ["what is encoded twice", base64(base64("user:pw"))],
    ["UTF-16", Buffer.from("user:pw", "utf16le").toString("base64")],
    ["a NUL, which containerd cuts off", base64("robot:hunter2\0")],
    ["a control character in the user", base64("ro\nbot:hunter2")],
    ["words", "robot hunter2"],
    ["nothing", ""],
    ["only padding", "===="],
    ["padding inside", `${base64("user:pw")}YQ`],
  ])("with %s is refused, with what is expected", (_what, auth) => {
    expect(parseAuth(auth)).toBe("must be base64 of user:password (or give username and password instead)");
  });

  test("of any pair is read back", () => {
    const user = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !/^\{|[:\p{Cc}]/u.test(text));
    const password = fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0"));
    fc.assert(
      fc.property(user, password, (name, secret) => {
        const credential = credentialFromPair(name, secret);
        expect(parseAuth(credential.auth)).toEqual(credential);
      }),
    );
  });
});

test("a user or password with a line end is the one without, as a block of YAML has it", () => {
  expect(credentialFromPair("robot\n", "hunter2\r\n")).toEqual(credentialFromPair("robot", "hunter2"));
  expect(credentialFromPair("robot", "two\nlines").password).toBe("two\nlines");
});

test.each([
  ["harbor.example.com", "harbor.example.com", ""],
  ["harbor.example.com:443", "harbor.example.com:443", ""],
  ["Harbor.Example.COM", "harbor.example.com", ""],
  ["https://harbor.example.com/", "harbor.example.com", ""],
  ["http://10.0.0.5:5000/v2/", "10.0.0.5:5000", ""],
  ["https://index.docker.io/v1/", "docker.io", ""],
  ["docker.io", "docker.io", ""],
  ["registry-1.docker.io", "docker.io", ""],
  ["my-index.docker.io", "my-index.docker.io", ""],
  ["index.docker.io.example.com", "index.docker.io.example.com", ""],
  [" harbor.example.com\n", "harbor.example.com", ""],
  ["harbor.example.com/v2", "harbor.example.com", ""],
  ["harbor.example.com/team/v2/app", "harbor.example.com", "team/v2/app"],
  ["harbor.example.com///team//", "harbor.example.com", "team"],
  ["harbor.example.com/team-a", "harbor.example.com", "team-a"],
  ["https://harbor.example.com/v2/group/sub/", "harbor.example.com", "group/sub"],
  ["harbor.example.com/v2ray", "harbor.example.com", "v2ray"],
  ["*.Example.com:5000/team", "*.example.com:5000", "team"],
])("%s is the registry %s with the path %j", (text, host, path) => {
  expect(registryScope(text)).toEqual({ host, path });
});

test.each([
  ["harbor.example.com", true],
  ["harbor.example.com:5000/team-a/b", true],
  ["*.example.com", true],
  ["[::1]:5000", true],
  ["localhost", true],
  ["harbor", false],
  ["harbor/team", false],
  ["harbor.example.com/Team", false],
  ["harbor.example.com/team/*", false],
  ["harbor.example.com/app:1", false],
  ["harbor.example.com/https://team", false],
  ["robot:pw@harbor.example.com", false],
  ["", false],
])("whether %s is a registry is %s", (text, is) => {
  expect(isScope(registryScope(text))).toBe(is);
});

describe("the login for an image", () => {
  /** Of logins with these registries, the one that is chosen. */
  const chosen = (image: string, ...registries: string[]): string | undefined =>
    loginFor(
      reference(image),
      registries.map((text) => ({ ...registryScope(text), text })),
    )?.text;

  test.each([
    ["harbor.example.com/a", "harbor.example.com", true],
    ["harbor.example.com/a", "harbor.example.com:443", false],
    ["harbor.example.com:443/a", "harbor.example.com", false],
    ["harbor.example.com:8443/a", "harbor.example.com:8443", true],
    ["Harbor.Example.com/a", "harbor.example.COM", true],
    ["evil.harbor.example.com/a", "harbor.example.com", false],
    ["nginx", "https://index.docker.io/v1/", true],
    ["index.docker.io/nginx", "docker.io", true],
    ["registry-1.docker.io/library/nginx", "docker.io", true],
    ["nginx", "docker.io/library", true],
    ["harbor.example.com/team-a/app", "harbor.example.com/team-a", true],
    ["harbor.example.com/team-a", "harbor.example.com/team-a", true],
    ["harbor.example.com/team-b/app", "harbor.example.com/team-a", false],
    ["harbor.example.com/team-ab/app", "harbor.example.com/team-a", false],
    ["prefix.kubernetes.io/foo/bar", "prefix.*.io/foo", true],
    ["prefix-good.kubernetes.io/a", "*-good.kubernetes.io", true],
    ["prefix.kubernetes.io/a", "*.*.kubernetes.io", false],
    ["kubernetes.io/a", "*.kubernetes.io", false],
    ["a.b.kubernetes.io/a", "*.kubernetes.io", false],
    ["h1.example.com:5000/a", "h?.example.com:5000", true],
    ["h1.example.com:5000/a", "h1.example.com:*", false],
    ["h1.example.com:5000/a", "h1.example.com:5*", false],
    ["[::1]:5000/a", "[::1]:5000", true],
    ["xexample.com/a", "*.com", true],
    ["fooXbar.example.com/a", "foo.bar.example.com", false],
  ])("%s is that of %s: %s", (image, registry, is) => {
    expect(chosen(image, registry)).toBe(is ? registry : undefined);
  });

  const TEAM = "harbor.example.com/team";
  test.each([
    ["the longest path", `${TEAM}/app`, ["harbor.example.com", TEAM, `${TEAM}/other`, "*.example.com"]],
    ["the longest path, also of a glob", "*.example.com/team", ["harbor.example.com", "*.example.com/team"]],
    ["the longest path, however short it is", "*.example.com/t", ["harbor.example.com"], "t/app:1"],
    [
      "the host without a glob",
      "harbor.example.com",
      ["*.example.com", "harbor.example.com", "harbor.*.com"],
    ],
    ["the first of equals", "*.example.com", ["*.example.com", "harbor.*.com"]],
  ])("is that of %s", (_which, expected, registries, image = "team/app:1") => {
    const all = [...registries, ...(registries.includes(expected) ? [] : [expected])];
    expect(chosen(`harbor.example.com/${image}`, ...all)).toBe(expected);
  });
});
