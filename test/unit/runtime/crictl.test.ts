import { describe, expect, test } from "vitest";
import { BRIEF, CommandError, type CommandOptions } from "../../../src/runtime/command.ts";
import { CredentialRefused, crictlClient, parseImages } from "../../../src/runtime/crictl.ts";
import { credential } from "../samples.ts";

const GLOBAL = [
  "--config=/dev/null",
  "--runtime-endpoint=unix:///c.sock",
  "--image-endpoint=unix:///c.sock",
  "--timeout=30s",
];
const signal = new AbortController().signal;
const failed = new CommandError("no", { exitCode: 1, timedOut: false, isCanceled: false });

interface Call {
  readonly tool: string;
  readonly args: readonly string[];
  readonly options: CommandOptions;
}

/** A crictl that answers a command with a text, or fails where there is none. */
function crictl(answers: Readonly<Record<string, string>>, allowCredentialsInArgv = false) {
  const calls: Call[] = [];
  const run = async (tool: string, args: readonly string[], options: CommandOptions): Promise<string> => {
    calls.push({ tool, args, options });
    const answer = answers[args[GLOBAL.length] ?? ""];
    if (answer === undefined) throw failed;
    return answer;
  };
  return {
    calls,
    client: crictlClient(run, { crictl: "/x/crictl", socket: "/c.sock", allowCredentialsInArgv }),
  };
}
const PULLED = "Image is up to date for sha256:0123\n";

describe("every call", () => {
  test("names tool and socket, and lets no configuration of the node's interfere", async () => {
    const { calls, client } = crictl({ images: '{"images":[]}' });
    await client.images();
    expect(calls).toEqual([
      {
        tool: "/x/crictl",
        args: [...GLOBAL, "images", "--output=json"],
        options: { timeout: 30_000, env: BRIEF },
      },
    ]);
  });
});

describe("the version of containerd", () => {
  test("is what crictl tells of the runtime", async () => {
    const text =
      "Version:  0.1.0\nRuntimeName:  containerd\nRuntimeVersion:  v1.6.20~ds1\nRuntimeApiVersion:  v1\n";
    const { client } = crictl({ version: text });
    expect((await client.version(signal)).version).toBe("1.6.20");
  });

  test.each(["", "RuntimeVersion:  unknown\n"])("is an error when it is not told: %j", async (text) => {
    await expect(crictl({ version: text }).client.version(signal)).rejects.toThrow("tells no RuntimeVersion");
  });
});

describe("a pull", () => {
  test("without credentials asks for no version and gives none", async () => {
    const { calls, client } = crictl({ pull: PULLED });
    expect(await client.pull("a.b/c:1", { signal, timeout: 99 })).toBe("sha256:0123");
    expect(calls).toEqual([
      {
        tool: "/x/crictl",
        args: [...GLOBAL, "pull", "a.b/c:1"],
        options: expect.objectContaining({ signal, timeout: 99, env: BRIEF }),
      },
    ]);
  });

  test.each(["crictl version v1.24.0", "crictl version 1.30.0\n", "crictl version unknown\n"])(
    "by %j takes credentials from its environment, never from its arguments",
    async (version) => {
      const login = credential();
      const { calls, client } = crictl({ "--version": version, pull: PULLED });
      await client.pull("a.b/c:1", { signal, timeout: 99, credential: login });
      expect(calls.at(-1)?.options.env).toEqual({ ...BRIEF, CRICTL_AUTH: login.auth });
      expect(JSON.stringify(calls.map(({ args }) => args))).not.toContain(login.auth);
    },
  );

  test("asks crictl for its version once, however many pulls there are", async () => {
    const { calls, client } = crictl({ "--version": "crictl version v1.30.0", pull: PULLED });
    const options = { signal, timeout: 99, credential: credential() };
    await Promise.all(["a", "b", "c"].map((name) => client.pull(name, options)));
    expect(calls.filter(({ args }) => args.includes("--version"))).toHaveLength(1);
  });

  const OLD = { "--version": "crictl version v1.23.0", pull: PULLED };

  test("by a crictl older than 1.24 is refused, with what can be done", async () => {
    const { calls, client } = crictl(OLD);
    const pull = client.pull("a.b/c:1", { signal, timeout: 99, credential: credential() });
    await expect(pull).rejects.toBeInstanceOf(CredentialRefused);
    await expect(pull).rejects.toThrow("1.23.0 cannot take credentials from its environment");
    await expect(pull).rejects.toThrow("allow_credentials_in_argv");
    expect(calls.some(({ args }) => args.includes("pull"))).toBe(false);
  });

  test("by such a one without credentials works", async () => {
    expect(await crictl(OLD).client.pull("a.b/c:1", { signal, timeout: 99 })).toBe("sha256:0123");
  });

  test("shows them in the arguments only where the operator allows it", async () => {
    const login = credential();
    const { calls, client } = crictl(OLD, true);
    await client.pull("a.b/c:1", { signal, timeout: 99, credential: login });
    expect(calls.at(-1)).toMatchObject({
      args: [...GLOBAL, "pull", "--auth", login.auth, "a.b/c:1"],
      options: { env: BRIEF },
    });
  });

  test("that fails fails", async () => {
    await expect(crictl({}).client.pull("a.b/c:1", { signal, timeout: 99 })).rejects.toBe(failed);
  });
});

describe("the listing of images", () => {
  test("is read as CRI prints it", () => {
    const text = JSON.stringify({
      images: [
        {
          id: "sha256:1",
          repoTags: ["docker.io/library/nginx:1", "a.b/c:1"],
          repoDigests: ["docker.io/library/nginx@sha256:2"],
          size: "12345",
          uid: null,
          username: "",
          spec: null,
          pinned: true,
        },
        { id: "sha256:3", repoTags: [], repoDigests: [], size: 7, pinned: false },
      ],
    });
    expect(parseImages(text)).toEqual([
      {
        id: "sha256:1",
        names: ["docker.io/library/nginx:1", "a.b/c:1", "docker.io/library/nginx@sha256:2"],
        size: 12_345,
        pinned: true,
      },
      { id: "sha256:3", names: [], size: 7, pinned: false },
    ]);
  });

  test("may lack what older runtimes do not tell", () => {
    expect(parseImages('{"images":[{"id":"sha256:1","repoTags":null,"repoDigests":null}]}')).toEqual([
      { id: "sha256:1", names: [], size: 0, pinned: false },
    ]);
  });

  test.each(['{"images":[]}', '{"images":null}', "{}"])("may be empty: %s", (text) => {
    expect(parseImages(text)).toEqual([]);
  });

  test.each(["", '{"images":[{}]}', "FATA[0000] no"])("that is none is an error: %j", (text) => {
    expect(() => parseImages(text)).toThrow();
  });
});

describe("the directory of the images", () => {
  test.each([
    [
      "crictl 1.29 and later",
      { imageFilesystems: [{ fsId: { mountpoint: "/x" } }], containerFilesystems: [] },
      "/x",
    ],
    ["older ones", [{ timestamp: "1", fsId: { mountpoint: "/y" }, usedBytes: { value: "1" } }], "/y"],
    ["a runtime without any", [], undefined],
  ])("is read from %s", async (_which, status, expected) => {
    expect(await crictl({ imagefsinfo: JSON.stringify({ status }) }).client.imageDirectory()).toBe(expected);
  });
});
