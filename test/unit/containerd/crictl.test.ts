import { describe, expect, test } from "vitest";
import { BRIEF, CommandError, type CommandOptions } from "../../../src/containerd/command.ts";
import { crictl as pulls } from "../../../src/containerd/crictl.ts";
import { credential } from "../samples.ts";

const GLOBAL = [
  "--config=/dev/null",
  "--runtime-endpoint=unix:///c.sock",
  "--image-endpoint=unix:///c.sock",
  "--timeout=30s",
];
const signal = new AbortController().signal;
const failed = new CommandError("no", "no", false);

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
    const answer = answers[args.includes("--version") ? "--version" : (args[GLOBAL.length] ?? "")];
    if (answer === undefined) throw failed;
    return answer;
  };
  return {
    calls,
    client: pulls(run, { crictl: "/x/crictl", socket: "/c.sock" }, allowCredentialsInArgv),
  };
}
const PULLED = "Image is up to date for sha256:0123\n";

describe("a pull", () => {
  test("without credentials asks for no version and gives none", async () => {
    const { calls, client } = crictl({ pull: PULLED });
    await client.pull("a.b/c:1", { signal });
    expect(calls).toEqual([
      {
        tool: "/x/crictl",
        args: [...GLOBAL, "pull", "a.b/c:1"],
        options: expect.objectContaining({ signal, env: BRIEF.env }),
      },
    ]);
  });

  test.each(["crictl version v1.24.0", "crictl version 1.30.0\n", "crictl version unknown\n"])(
    "by %j takes credentials from its environment, never from its arguments",
    async (version) => {
      const login = credential();
      const { calls, client } = crictl({ "--version": version, pull: PULLED });
      await client.pull("a.b/c:1", { signal, credential: login });
      expect(calls.at(-1)?.options.env).toEqual({ ...BRIEF.env, CRICTL_AUTH: login.auth });
      expect(JSON.stringify(calls.map(({ args }) => args))).not.toContain(login.auth);
    },
  );

  test("asks crictl for its version once, however many pulls there are", async () => {
    const { calls, client } = crictl({ "--version": "crictl version v1.30.0", pull: PULLED });
    const options = { signal, credential: credential() };
    await Promise.all(["a", "b", "c"].map((name) => client.pull(name, options)));
    expect(calls.filter(({ args }) => args.includes("--version"))).toHaveLength(1);
  });

  test("need not ask where its version was asked for before", async () => {
    const { calls, client } = crictl({ "--version": "crictl version v1.30.0", pull: PULLED });
    client.prepareLogin();
    expect(calls).toEqual([{ tool: "/x/crictl", args: ["--version"], options: BRIEF }]);
    await client.pull("a.b/c:1", { signal, credential: credential() });
    expect(calls.map(({ args }) => args.at(-2))).toEqual([undefined, "pull"]);
  });

  test("asks for the version again where there was no answer", async () => {
    const answers: Record<string, string> = { pull: PULLED };
    const { calls, client } = crictl(answers);
    client.prepareLogin();
    await expect(client.pull("a.b/c:1", { signal, credential: credential() })).rejects.toBe(failed);
    answers["--version"] = "crictl version v1.30.0";
    await client.pull("a.b/c:1", { signal, credential: credential() });
    expect(calls.map(({ args }) => args.at(-2))).toEqual([undefined, undefined, "pull"]);
  });

  const OLD = { "--version": "crictl version v1.23.0", pull: PULLED };

  test("by a crictl older than 1.24 is refused, with what can be done", async () => {
    const { calls, client } = crictl(OLD);
    const pull = client.pull("a.b/c:1", { signal, credential: credential() });
    await expect(pull).rejects.toMatchObject({
      failure: { class: "auth", next: expect.stringContaining("allow_credentials_in_argv") },
    });
    await expect(pull).rejects.toThrow("1.23.0 cannot take credentials from its environment");
    expect(calls.some(({ args }) => args.includes("pull"))).toBe(false);
  });

  test("by such a one without credentials works", async () => {
    const { calls, client } = crictl(OLD);
    await client.pull("a.b/c:1", { signal });
    expect(calls.map(({ args }) => args.at(-1))).toEqual(["a.b/c:1"]);
  });

  test("shows them in the arguments only where the operator allows it", async () => {
    const login = credential();
    const { calls, client } = crictl(OLD, true);
    await client.pull("a.b/c:1", { signal, credential: login });
    expect(calls.at(-1)).toMatchObject({
      args: [...GLOBAL, "pull", "--auth", login.auth, "a.b/c:1"],
      options: { env: BRIEF.env },
    });
  });

  test("that fails fails", async () => {
    await expect(crictl({}).client.pull("a.b/c:1", { signal })).rejects.toBe(failed);
  });
});
