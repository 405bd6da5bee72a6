// No secret in what a run leaves or shows, whatever containerd and crictl print.
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startFaultProxy } from "../rig/fault-proxy.ts";
import { describeEachLine } from "../rig/suite.ts";
import { type Agent, agentFor, type Ended, type Properties } from "./support/agent.ts";
import { authOf, login, namesOn, pushTo, startNode, type TestNode } from "./support/node.ts";
import { failures } from "./support/status.ts";
import { base64, base64Forms, ENCODINGS } from "../unit/core/secret-forms.ts";
import { startRawServer } from "./faults-servers.ts";
import { PLACES } from "./secrets-places.ts";

const wrongLogin = { user: "robot$team", password: "not-the-Password/+~1" };

/** What must be nowhere: also as a URL or JSON would write it. */
function secretsOf({ user, password }: { user: string; password: string }): string[] {
  const pair = `${user}:${password}`;
  const encoded = authOf({ user, password });
  const written = [pair, password].flatMap((text) => [
    text,
    encodeURIComponent(text),
    JSON.stringify(text).slice(1, -1),
  ]);
  return [encoded, encoded.replace(/=+$/u, ""), ...written];
}

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => path.join(folder, name))
    .filter((file) => statSync(file).isFile());

/** What every process of the machine shows of itself, gathered for as long as a run goes on. */
interface Seen {
  readonly commandLines: ReadonlySet<string>;
  /** Whether a crictl had this credential in its environment, which only root may read. */
  readonly inEnvironment: boolean;
}

async function watchProcesses(until: Promise<unknown>, auth: string): Promise<Seen> {
  const commandLines = new Set<string>();
  let inEnvironment = false;
  const over = new AbortController();
  void until.finally(() => over.abort());
  while (!over.signal.aborted) {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/u.test(name))) {
      const commandLine = readProc(pid, "cmdline");
      commandLines.add(commandLine);
      if (commandLine.includes("crictl"))
        inEnvironment ||= readProc(pid, "environ").includes(`CRICTL_AUTH=${auth}`);
    }
    await delay(5);
  }
  return { commandLines, inEnvironment };
}

function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8").replaceAll("\0", " ");
  } catch {
    return ""; // It ended meanwhile.
  }
}

describeEachLine("secrets", (line) => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startNode(line);
  });
  afterAll(() => node[Symbol.asyncDispose]());

  async function watchedRun(agent: Agent, properties: Properties, auth: string): Promise<[Ended, Seen]> {
    const running = agent.start({ ...properties, log_level: "trace" });
    const seen = await watchProcesses(running.ended, auth);
    return [await running.ended, seen];
  }

  /** Everything that could have taken a secret along, by where it is; all but the configuration itself. */
  async function traces(agent: Agent, ended: Ended, seen: Seen): Promise<Record<string, string>> {
    const files = [agent.stateDirectory, agent.logDirectory].flatMap(filesBelow);
    expect(files.map((file) => path.basename(file))).toEqual(
      expect.arrayContaining(["status.json", "import-images.log"]),
    );
    return {
      stdout: ended.stdout,
      stderr: ended.stderr,
      processes: [...seen.commandLines].join("\n"),
      containerd: await node.containerd.log(),
      ...Object.fromEntries(files.map((file) => [path.basename(file), readFileSync(file, "latin1")])),
    };
  }

  async function expectNowhere(
    agent: Agent,
    ended: Ended,
    seen: Seen,
    secrets: readonly string[],
  ): Promise<void> {
    // The watch is worth nothing if it missed the one process that is given the secret.
    expect([...seen.commandLines].some((text) => /crictl .* pull /u.test(text))).toBe(true);
    expect(seen.inEnvironment).toBe(true);
    const found = Object.entries(await traces(agent, ended, seen)).flatMap(([where, text]) =>
      secrets.filter((secret) => text.includes(secret)).map((secret) => `${secret} in ${where}`),
    );
    expect(found).toEqual([]);
  }

  test("a good password is in no log, output, status or process list", async () => {
    await using proxy = await startFaultProxy(node.locked);
    const image = await pushTo(node.locked, "secret/good:1", {
      layers: [{ bytes: 2_000_000, seed: "good" }],
    });
    proxy.set({ digest: image.layers[0]!.digest, bytesPerSecond: 1_500_000 });
    const agent = agentFor(node.containerd);
    const name = `${proxy.host}/secret/good:1`;
    const images = [{ name, auth: authOf(login), retagAs: "secret-good:1" }];
    const [ended, seen] = await watchedRun(agent, { images }, authOf(login));

    expect(ended.exitCode).toBe(0);
    expect((await namesOn(node.containerd)).has(name)).toBe(true);
    await expectNowhere(agent, ended, seen, secretsOf(login));
  });

  test("a wrong password is in none of them either, nor in the message that it was refused", async () => {
    await using proxy = await startFaultProxy(node.locked);
    await pushTo(node.locked, "secret/wrong:1");
    // Refused slowly, so that the process that was given it can be seen.
    proxy.set({ path: /manifests/u, latencyMs: 700 });
    const agent = agentFor(node.containerd);
    const name = `${proxy.host}/secret/wrong:1`;
    const registries = [{ host: proxy.host, username: wrongLogin.user, password: wrongLogin.password }];
    const [ended, seen] = await watchedRun(agent, { images: [{ name }], registries }, authOf(wrongLogin));

    expect(ended.exitCode).toBe(1);
    expect(failures(agent.status())).toEqual({ [name]: "auth" });
    await expectNowhere(agent, ended, seen, secretsOf(wrongLogin));
  });

  test("what a registry answers is repeated without the password that it repeats", async () => {
    await using proxy = await startFaultProxy(node.registry);
    const body = JSON.stringify({
      errors: [
        {
          code: "DENIED",
          message: `no ${authOf(login)}, ${login.user}:${login.password}, ${login.password}`,
        },
      ],
    });
    proxy.set({ path: /manifests/u, latencyMs: 700 }, { method: "GET", status: 403, body });
    await pushTo(node.registry, "secret/echo:1");
    const agent = agentFor(node.containerd);
    const images = [{ name: `${proxy.host}/secret/echo:1`, auth: authOf(login) }];
    const [ended, seen] = await watchedRun(agent, { images }, authOf(login));

    expect(ended.exitCode).toBe(1);
    // containerd did repeat it, and we repeat containerd.
    expect(await node.containerd.log()).toContain(authOf(login));
    expect(ended.stderr).toContain("no [redacted], [redacted], [redacted]");
    const own = Object.entries(await traces(agent, ended, seen)).filter(([where]) => where !== "containerd");
    for (const [where, text] of own) {
      for (const secret of secretsOf(login))
        expect(text.includes(secret), `${secret} in ${where}`).toBe(false);
    }
  });

  test.each(["JSON", "HTML"])("nor is any form of it that a registry may write, in %s", async (language) => {
    await using proxy = await startFaultProxy(node.registry);
    const plain = [login.password, `${login.user}:${login.password}`, base64(login.password), authOf(login)];
    const forms = ENCODINGS.flatMap(([, encode]) => plain.map(encode));
    const repositories = forms.map((_, at) => `secret/form-${language.toLowerCase()}-${at}`);
    for (const repository of repositories) await pushTo(node.registry, `${repository}:1`);
    const rules = forms.map((form, at) => {
      const message = `the login ${form} may not pull`;
      const json = JSON.stringify({ errors: [{ code: "DENIED", message }] });
      const body = language === "JSON" ? json : `<html><p>${message}</p></html>`;
      return { path: new RegExp(`/${repositories[at]}/blobs/`, "u"), method: "GET", status: 403, body };
    });
    proxy.set(...rules);
    const agent = agentFor(node.containerd);
    const images = repositories.map((repository) => ({
      name: `${proxy.host}/${repository}:1`,
      auth: authOf(login),
    }));
    const ended = await agent.run({ images, log_level: "trace", retry: { attempts: 1 } });

    expect(ended.exitCode).toBe(1);
    const files = [agent.stateDirectory, agent.logDirectory].flatMap(filesBelow);
    const texts = [ended.stdout, ended.stderr, ...files.map((file) => readFileSync(file, "utf8"))].join("\n");
    expect(forms.filter((form) => texts.includes(form))).toEqual([]);
    // HTML is not repeated by containerd of today.
    if (language === "JSON") expect(texts).toContain("[redacted]");
  });

  // The others repeat the same in other places.
  test.runIf(line === "1.7")(
    "nor is any form of it, wherever in its answers a registry puts it",
    async () => {
      const marker = "no-secret-at-all";
      const pair = `${login.user}:${login.password}`;
      const plain = [login.password, pair, base64(login.password), base64(pair)];
      const forms = new Set([
        ...ENCODINGS.flatMap(([, encode]) => plain.map(encode)),
        ...[login.password, pair].flatMap(base64Forms),
      ]);
      // Each has a registry of its own: what one of them does is held against no other's login.
      const answers = Object.entries(PLACES).flatMap(([place, { answer }], at) =>
        [marker, ...forms].map((text, form) => ({ place, answer, text, address: `127.1.${at}.${form}` })),
      );
      const byAddress = new Map(answers.map((each) => [each.address, each]));
      await using server = await startRawServer((asked) => {
        const { answer, text = "" } = byAddress.get(asked.host.replace(/:.*/u, "")) ?? {};
        return answer?.(text, asked) ?? "";
      });
      const nameOf = (address: string): string => `${address}:${server.port}/hostile/app:1`;
      const agent = agentFor(node.containerd);
      const properties = {
        images: answers.map(({ address }) => ({ name: nameOf(address), auth: authOf(login) })),
        metrics_file: path.join(agent.stateDirectory, "import_images.prom"),
        retry: { attempts: 1 },
        registry_timeout: "1ms",
      };
      const [ended, seen] = await watchedRun(agent, properties, authOf(login));
      const status = await agent.run(properties, "status");
      const json = await agent.run(properties, "status", "--json");

      expect(ended.exitCode).toBe(1);
      expect(Object.keys(failures(agent.status()))).toHaveLength(answers.length);
      expect(seen.inEnvironment).toBe(true);
      const evidence = new Map(agent.log().map((entry) => [entry.image, JSON.stringify(entry)]));
      const repeated = answers
        .filter(({ text, address }) => text === marker && evidence.get(nameOf(address))?.includes(marker))
        .map(({ place }) => place);
      expect(repeated).toEqual(Object.keys(PLACES).filter((place) => PLACES[place]?.repeated));
      const { containerd: _, ...files } = await traces(agent, ended, seen);
      const told = { status: status.stdout + status.stderr, json: json.stdout + json.stderr };
      const outputs = Object.entries({ ...files, ...told });
      expect(outputs.map(([where]) => where)).toContain("import_images.prom");
      // Half of it is too much as well: what containerd quotes may be cut at a blank, a semicolon or a number sign.
      const word = /^\w+/u.exec(login.password)?.[0] ?? "";
      const secrets = [...forms, word];
      const found = outputs.flatMap(([where, text]) =>
        secrets.filter((secret) => text.includes(secret)).map((secret) => `${secret} in ${where}`),
      );
      expect(found).toEqual([]);
    },
    300_000,
  );
});
