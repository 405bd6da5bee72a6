// `run` as BOSH runs it: the built executable against a real containerd and real registries.
import { readdirSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Folder, temporaryFolder } from "../rig/folder.ts";
import { poll } from "../rig/poll.ts";
import { type PushedImage, tagImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { describeEveryLine } from "../rig/suite.ts";
import {
  type Agent,
  agentFor,
  agentWithoutContainerd,
  type Ended,
  type Running,
  lastLine,
} from "./support/agent.ts";
import {
  authOf,
  clientsOf,
  heldOn,
  login,
  namesOn,
  pinPrefix,
  pushTo,
  startNode,
  type TestNode,
} from "./support/node.ts";
import { failures, imageOf } from "./support/status.ts";

const otherLogin = { user: "other", password: "another-word" };
const hostile = ["$(touch pwned)", "`touch pwned`;", `a"b'c`, "two\nlines", "-x", "--config=/etc/passwd"];

describeEveryLine("run", (line) => {
  let node: TestNode;
  let agent: Agent;

  beforeAll(async () => {
    node = await startNode(line);
  });
  afterEach(() => {
    node.proxy.clear();
    node.proxy.clearRequests();
  });
  afterAll(() => node[Symbol.asyncDispose]());
  const newAgent = (): Agent => (agent = agentFor(node.containerd));

  const push = (name: string, bytes = 40_000): Promise<PushedImage> =>
    pushTo(node.registry, name, { layers: [{ bytes, seed: name }] });
  const through = ({ repository, tag }: PushedImage): string => `${node.proxy.host}/${repository}:${tag}`;
  /** An image whose download is slow enough to be met in the middle; `pulling` resolves when it is there. */
  async function slow(name: string, bytesPerSecond = 100_000) {
    const image = await push(name, 3_000_000);
    const { digest } = image.layers[0]!;
    node.proxy.add({ digest, bytesPerSecond });
    return {
      ...image,
      reference: through(image),
      pulling: () => node.proxy.served(digest, bytesPerSecond / 2),
    };
  }
  const ids = async (): Promise<Record<string, string>> =>
    Object.fromEntries([...(await namesOn(node.containerd))].map(([name, { id }]) => [name, id]));
  /** Whether each name is pinned to CRI, by a record of ours. */
  const pinned = async (...names: string[]): Promise<boolean[]> => {
    const found = await namesOn(node.containerd);
    return names.map((name) => found.get(name)?.ours === true && found.get(name)?.pinned === true);
  };
  const ours = async (...names: string[]): Promise<boolean[]> => {
    const found = await namesOn(node.containerd);
    return names.map((name) => found.get(name)?.ours === true);
  };
  const expectOk = (ended: Ended): void => {
    expect(ended, ended.stderr).toMatchObject({ exitCode: 0, signal: null });
  };

  describe("a list of everything, with failures in the middle", () => {
    const hub = "docker.io/library";
    let other: Registry;
    let images: Record<"untagged" | "digest" | "several" | "short" | "own" | "shared" | "last", PushedImage>;
    let missing: string;
    let wrong: string;
    let properties: Record<string, unknown>;
    let first: Ended;

    beforeAll(async () => {
      other = await startRegistry({ auth: otherLogin });
      images = {
        untagged: await push("list/untagged:latest"),
        digest: await push("list/digest:1"),
        several: await push("list/several:1"),
        short: await push("list/short:1"),
        own: await pushTo(other, "list/own:1"),
        shared: await pushTo(node.locked, "list/shared:1"),
        last: await push("list/last:1"),
      };
      const elsewhere = await push("list/elsewhere:1");
      const wrongImage = await pushTo(node.locked, "list/wrong:1");
      missing = `${node.registry.host}/list/missing:1`;
      wrong = wrongImage.reference;
      // A target that is another image until now.
      await node.containerd.crictl("pull", elsewhere.reference);
      await node.containerd.ctr("images", "tag", elsewhere.reference, "mirror.example.com/several:b");
      properties = {
        images: [
          { name: `${node.registry.host}/list/untagged` },
          { name: `${node.registry.host}/list/digest@${images.digest.digest}`, retagAs: "list-digest:1" },
          { name: missing },
          {
            name: images.several.reference,
            retagAs: ["mirror.example.com/several:a", "mirror.example.com/several:b", "other/several"],
          },
          { name: wrong, username: login.user, password: "not-the-password" },
          { name: images.short.reference, retagAs: "list-short" },
          { name: images.own.reference, auth: authOf(otherLogin), retagAs: "" },
          { name: images.shared.reference, auth: "" },
          { name: images.last.reference },
        ],
        registries: [{ host: node.locked.host, username: login.user, password: login.password }],
      };
      newAgent();
      first = await agent.run(properties);
    });
    afterAll(() => other.stop());

    const wanted = (): Record<string, string> => ({
      [`${node.registry.host}/list/untagged:latest`]: images.untagged.configDigest,
      [`${node.registry.host}/list/digest@${images.digest.digest}`]: images.digest.configDigest,
      [`${hub}/list-digest:1`]: images.digest.configDigest,
      [images.several.reference]: images.several.configDigest,
      "mirror.example.com/several:a": images.several.configDigest,
      "mirror.example.com/several:b": images.several.configDigest,
      "docker.io/other/several:latest": images.several.configDigest,
      [images.short.reference]: images.short.configDigest,
      [`${hub}/list-short:latest`]: images.short.configDigest,
      [images.own.reference]: images.own.configDigest,
      [images.shared.reference]: images.shared.configDigest,
      [images.last.reference]: images.last.configDigest,
    });

    test("puts everything else in place, exits with 1 and names both failures with their class", async () => {
      expect(first.exitCode).toBe(1);
      expect(await ids()).toMatchObject(wanted());
      const names = Object.keys(wanted());
      if (node.pins) expect(await pinned(...names)).toEqual(names.map(() => true));
      expect(failures(agent.status())).toEqual({ [missing]: "not-found", [wrong]: "auth" });
      expect(lastLine(first.stderr)).toMatch(/^import-images: .*next: /);
      expect(lastLine(first.stderr)).toContain(`${missing} failed in pull (not-found)`);
      expect(lastLine(first.stderr)).toContain(`${wrong} failed in pull (auth) — next: `);
      expect(first.stdout).toContain(`FAILED ${missing} in pull: not-found, after 2 attempts`);
      expect(first.stdout).toContain(`FAILED ${wrong} in pull: auth, after 1 attempt`);
      expect(lastLine(first.stdout)).toMatch(/^9 images: 7 pulled, 0 present, 2 failed/);
    });

    test("moves the target that pointed elsewhere", () => {
      expect(first.stdout).toMatch(/moved tag mirror\.example\.com\/several:b -> /);
      expect(first.stdout).toMatch(/Z tagged mirror\.example\.com\/several:a -> /);
    });

    test("run again asks the registry for nothing that is present, and tags nothing", async () => {
      await node.registry.clearRequests();
      const again = await agent.run(properties);

      expect(again.exitCode).toBe(1);
      expect(again.stdout).not.toMatch(/Z (?:tagged|moved tag) /);
      expect(failures(agent.status())).toEqual({ [missing]: "not-found", [wrong]: "auth" });
      const asked = (await node.registry.requests()).map(({ path }) => path.split("/")[3]);
      expect(new Set(asked)).toEqual(new Set(["missing", "untagged"]));
      expect(await ids()).toMatchObject(wanted());
    });

    test("exits with 0 once the list is right", async () => {
      await push("list/missing:1");
      const right = (properties["images"] as Record<string, unknown>[]).map((image) =>
        image["name"] === wrong ? { ...image, password: login.password } : image,
      );
      expectOk(await agent.run({ ...properties, images: right }));

      expect(failures(agent.status())).toEqual({});
    });
  });

  test("takes credentials once for a registry, an image's own before them, docker's file last", async () => {
    await using other = await startRegistry({ auth: { user: "docker", password: "file" } });
    const [shared, own, docker] = [
      await pushTo(node.locked, "login/shared:1"),
      await pushTo(node.locked, "login/own:1"),
      await pushTo(other, "login/docker:1"),
    ];
    newAgent();
    const ended = await agent.run({
      images: [
        { name: shared.reference },
        { name: own.reference, username: login.user, password: "wrong" },
        { name: docker.reference },
      ],
      registries: [{ host: node.locked.host, auth: authOf(login) }],
      docker_config: JSON.stringify({
        auths: {
          [`https://${other.host}/v1/`]: { auth: authOf({ user: "docker", password: "file" }) },
          [node.locked.host]: { auth: authOf({ user: "nobody", password: "nothing" }) },
        },
      }),
    });

    expect(ended.exitCode).toBe(1);
    expect(failures(agent.status())).toEqual({ [own.reference]: "auth" });
  });

  test("pulls over TLS with an authority of the site's own, and says what to do without it", async () => {
    await using secure = await startRegistry({ tls: true, auth: login });
    const image = await pushTo(secure, "tls/app:1");
    const properties = { images: [{ name: image.reference, auth: authOf(login) }] };
    await node.containerd.useHost(secure.host);
    newAgent();
    const refused = await agent.run(properties);
    expect(refused.exitCode).toBe(1);
    expect(failures(agent.status())).toEqual({ [image.reference]: "tls" });
    expect(lastLine(refused.stderr)).toContain("certs.d");

    await node.containerd.useHost(secure.host, { caFile: secure.caFile! });
    expectOk(await agent.run(properties));
    expect((await ids())[image.reference]).toBe(image.configDigest);
  });

  describe("pins", () => {
    test("stay over a run that pulls anew, and leave with the list: only ours", async () => {
      const [kept, left, foreign] = [
        await push("pin/kept:1"),
        await push("pin/left:1"),
        await push("pin/other:1"),
      ];
      await node.containerd.crictl("pull", foreign.reference);
      await node.containerd.ctr("images", "label", foreign.reference, "io.cri-containerd.pinned=pinned");
      newAgent();
      const entry = { name: kept.reference, pullPolicy: "Always", retagAs: "pin-kept:1" };
      expectOk(await agent.run({ images: [entry, { name: left.reference, retagAs: "pin-left:1" }] }));
      const ofKept = [kept.reference, "docker.io/library/pin-kept:1"];
      const ofLeft = [left.reference, "docker.io/library/pin-left:1"];
      if (node.pins) expect(await pinned(...ofKept, ...ofLeft)).toEqual([true, true, true, true]);
      else expect(agent.status().warnings.join()).toContain("too old to pin");

      expectOk(await agent.run({ images: [entry] }));
      expect(await ours(...ofKept)).toEqual(ofKept.map(() => node.pins));
      expect(await ours(...ofLeft)).toEqual([false, false]);
      const records = await node.containerd.records();
      expect(records.get(foreign.reference)?.labels["io.cri-containerd.pinned"]).toBe("pinned");
      if (!node.pins) return;
      expect(agent.status().unpinned).toHaveLength(1);
      for (const name of ofLeft) expect(agent.status().unpinned[0]).toContain(name);
    });

    test("come back when somebody took one from a present image, without a request", async () => {
      const image = await push("pin/taken:1");
      newAgent();
      expectOk(await agent.run({ images: [{ name: image.reference }] }));
      const take = (): Promise<unknown> =>
        node.containerd.ctr("images", "label", `${pinPrefix}${image.digest}`, "io.cri-containerd.pinned=");
      if (node.pins) await take();
      await node.registry.clearRequests();
      expectOk(await agent.run({ images: [{ name: image.reference }] }));

      expect(await ours(image.reference)).toEqual([node.pins]);
      expect(imageOf(agent.status(), image.reference)).toMatchObject({ phase: "present", pinned: node.pins });
      expect(await node.registry.requests()).toEqual([]);
    });

    test("end when an image is listed without one, also for a name that it gets in the same run", async () => {
      const image = await push("pin/ended:1");
      newAgent();
      expectOk(await agent.run({ images: [{ name: image.reference }] }));
      expectOk(await agent.run({ images: [{ name: image.reference, retagAs: "pin-ended:1" }], pin: false }));

      expect(await ours(image.reference, "docker.io/library/pin-ended:1")).toEqual([false, false]);
      expect((await namesOn(node.containerd)).get(image.reference)?.pinned).toBe(false);
    });

    test("of an image that is removed while the run works cost no more than a warning", async () => {
      const [gone, next] = [await push("pin/gone:1"), await slow("pin/next:1", 1_500_000)];
      newAgent();
      expectOk(await agent.run({ images: [{ name: gone.reference }] }));
      const running = agent.start({ images: [{ name: next.reference }] });
      await next.pulling();
      await node.containerd.crictl("rmi", gone.reference);
      expectOk(await running.ended);
    });
  });

  test("does not fail for an image that is not required, and reports it", async () => {
    const image = await push("optional/there:1");
    const missing = `${node.registry.host}/optional/missing:1`;
    newAgent();
    const ended = await agent.run({
      images: [{ name: missing, required: false }, { name: image.reference }],
    });

    expectOk(ended);
    expect(ended.stdout).toContain(`FAILED ${missing} in pull: not-found, after 2 attempts (not required)`);
    expect(failures(agent.status())).toEqual({ [missing]: "not-found" });
  });

  test("exits with 0 under on_failure: warn, with the same reason at the end of stderr", async () => {
    const missing = `${node.registry.host}/warn/missing:1`;
    newAgent();
    const ended = await agent.run({ images: [{ name: missing }], on_failure: "warn" });

    expectOk(ended);
    expect(lastLine(ended.stderr)).toContain(`${missing} failed in pull (not-found)`);
  });

  test("keeps :latest when its registry is down, and fails where Always was asked for", async () => {
    const [latest, always, other] = [
      await push("down/latest:latest"),
      await push("down/always:1"),
      await push("down/other:1"),
    ];
    const images = [
      { name: through(latest) },
      { name: through(always), pullPolicy: "Always" },
      { name: through(other) },
    ];
    newAgent();
    expectOk(await agent.run({ images }));
    await node.proxy.down();
    try {
      const ended = await agent.run({ images });
      expect(ended.exitCode).toBe(1);
      expect(imageOf(agent.status(), through(latest))).toMatchObject({ phase: "kept" });
      expect(imageOf(agent.status(), through(other))).toMatchObject({ phase: "present" });
      expect(failures(agent.status())).toEqual({ [through(always)]: "network" });
      expect(agent.status().warnings.join("\n")).toContain(`${through(latest)} is kept as it is`);
      if (node.pins) expect(await pinned(through(latest), through(always))).toEqual([true, true]);

      const only = await agent.run({ images: images.slice(0, 1) });
      expectOk(only);
      expect(only.stdout).toContain("warning: ");
    } finally {
      await node.proxy.up();
    }
  });

  test("--only works on one image, and leaves the pins of the others alone", async () => {
    const [one, two, left] = [await push("only/one:1"), await push("only/two:1"), await push("only/left:1")];
    newAgent();
    expectOk(await agent.run({ images: [{ name: left.reference }] }));
    const images = [{ name: one.reference, retagAs: "only-one:1" }, { name: two.reference }];
    expectOk(await agent.run({ images }, "run", "--only", "only-one:1"));

    expect(await ids()).toMatchObject({ [one.reference]: one.configDigest });
    expect(await ids()).not.toHaveProperty([two.reference]);
    expect(await ours(left.reference)).toEqual([node.pins]);
    const unknown = await agent.run({ images }, "run", "--only", "only/three:1");
    expect(unknown).toMatchObject({ exitCode: 2, stdout: "" });
    expect(unknown.stderr).toContain("--only names no image of the configuration: docker.io/only/three:1");
  });

  test("puts two names of one image in place, each pulled for itself", async () => {
    const image = await push("twin/app:1");
    await tagImage(node.registry, image, "2");
    const second = `${node.registry.host}/twin/app:2`;
    newAgent();
    expectOk(await agent.run({ images: [{ name: image.reference }, { name: second, retagAs: "twin:2" }] }));

    const names = [image.reference, second, "docker.io/library/twin:2"];
    expect(await ids()).toMatchObject(Object.fromEntries(names.map((name) => [name, image.configDigest])));
    if (node.pins) expect(await pinned(...names)).toEqual([true, true, true]);
  });

  test("pulls a digest that has several names once, and asks no other registry for it", async () => {
    const { digest, configDigest } = await push("once/app:1");
    const nameIn = (repository: string): string => `${node.registry.host}/once/${repository}@${digest}`;
    // Only the first is in the registry: a pull under one of the others would fail.
    const names = [nameIn("app"), nameIn("mirror"), nameIn("another")];
    newAgent();
    expectOk(await agent.run({ images: names.slice(0, 2).map((name) => ({ name })) }));
    expectOk(
      await agent.run({ images: names.map((name) => ({ name, retagAs: `${name.split("@")[0]}:1` })) }),
    );

    expect(await ids()).toMatchObject(Object.fromEntries(names.map((name) => [name, configDigest])));
    const all = [...names, ...names.map((name) => `${name.split("@")[0]}:1`)];
    if (node.pins) expect(await pinned(...all)).toEqual(all.map(() => true));
  });

  test("keeps the pin of an image that somebody else pulls while the run goes on", async () => {
    const image = await push("between/app:1");
    const other = await slow("between/slow:1", 1_500_000);
    newAgent();
    const running = agent.start({ images: [{ name: image.reference }, { name: other.reference }] });
    await other.pulling();
    if (node.pins)
      await agent.logged("it is pinned", (l) => l.event === "pinned" && l.image === image.reference);
    await node.containerd.crictl("pull", image.reference);
    expectOk(await running.ended);

    if (node.pins) expect(await pinned(image.reference)).toEqual([true]);
    expect((await ids())[image.reference]).toBe(image.configDigest);
  });

  test("is done when somebody else pulls the same image at the same time", async () => {
    const image = await slow("both/app:1", 1_000_000);
    newAgent();
    const running = agent.start({ images: [{ name: image.reference }] });
    await image.pulling();
    await node.containerd.crictl("pull", image.reference);
    expectOk(await running.ended);

    if (node.pins) expect(await pinned(image.reference)).toEqual([true]);
  });

  describe("stopped", () => {
    const restOf = async (name: string) => {
      const [fast, held] = [await push(`${name}/fast:1`), await slow(`${name}/slow:1`)];
      newAgent();
      const properties = { images: [{ name: fast.reference }, { name: held.reference }] };
      const running = agent.start(properties);
      await held.pulling();
      await agent.logged("the other is pulled", (l) => l.event === "pulled" && l.image === fast.reference);
      return { fast, held, properties, running };
    };
    const expectNoClients = () =>
      poll("no crictl or ctr is left", () => clientsOf(node.containerd).length === 0 || undefined, {
        bound: 5_000,
      });
    const finish = async (properties: Record<string, unknown>): Promise<void> => {
      node.proxy.clear();
      expectOk(await agent.run(properties));
      expect(failures(agent.status())).toEqual({});
    };
    const secondsUntil = async (running: Running, act: () => void): Promise<[Ended, number]> => {
      const from = performance.now();
      act();
      return [await running.ended, (performance.now() - from) / 1000];
    };

    test.for([
      { signal: "SIGTERM", exitCode: 143 },
      { signal: "SIGINT", exitCode: 130 },
    ] as const)(
      "by $signal ends within 10 s with $exitCode, its state written and nothing left",
      async (to) => {
        const { fast, held, properties, running } = await restOf(`stop-${to.signal.toLowerCase()}`);
        const [ended, seconds] = await secondsUntil(running, () => running.kill(to.signal));

        expect(seconds).toBeLessThan(10);
        expect(ended).toMatchObject({ exitCode: to.exitCode, signal: null });
        expect(lastLine(ended.stderr)).toContain(`stopped by ${to.signal}`);
        const status = agent.status();
        expect(status).toMatchObject({ phase: "ended", exitCode: to.exitCode });
        expect(status.stopped).toContain(`stopped by ${to.signal}`);
        expect(imageOf(status, fast.reference).phase).toBe("pulled");
        expect(failures(status)).toEqual({ [held.reference]: "cancelled" });
        expect(clientsOf(node.containerd)).toEqual([]);
        await finish(properties);
        expect(await heldOn(node.containerd)).toEqual([]);
      },
    );

    test("by SIGKILL leaves no crictl and no lock, and what it held serves the next run", async () => {
      const { properties, running } = await restOf("kill");
      const isHeld = async () => (await heldOn(node.containerd)).length > 0;
      await poll("something is held", async () => (await isHeld()) || undefined);
      running.kill("SIGKILL");
      expect(await running.ended).toMatchObject({ exitCode: null, signal: "SIGKILL" });
      await expectNoClients();

      expect(await isHeld()).toBe(true);
      expect(agent.status()).toMatchObject({ phase: "importing", pid: running.pid });
      await finish(properties);
      expect(await heldOn(node.containerd)).toEqual([]);
    });

    test("by its deadline fails what is not complete, and says which property it was", async () => {
      const [fast, held] = [await push("deadline/fast:1"), await slow("deadline/slow:1")];
      newAgent();
      const images = [{ name: fast.reference }, { name: held.reference }];
      const ended = await agent.run({ images, deadline: "4s" });

      expect(ended.exitCode).toBe(1);
      expect(ended.seconds).toBeLessThan(14);
      expect(lastLine(ended.stderr)).toContain("the deadline of 4.0s has passed");
      expect(failures(agent.status())).toEqual({ [held.reference]: "timeout" });
      expect(imageOf(agent.status(), fast.reference).phase).toBe("pulled");
      await finish({ images });
    });

    test("by image_timeout is one image alone", async () => {
      const [held, fast] = [await slow("timeout/slow:1"), await push("timeout/fast:1")];
      newAgent();
      const images = [{ name: held.reference, timeout: "2s" }, { name: fast.reference }];
      const ended = await agent.run({ images, image_timeout: "50s" });

      expect(ended.exitCode).toBe(1);
      expect(failures(agent.status())).toEqual({ [held.reference]: "timeout" });
      expect(lastLine(ended.stderr)).toContain("image_timeout");
      expect(imageOf(agent.status(), fast.reference).phase).toBe("pulled");
    });
  });

  test("waits for the run before it, and gives up with 4 when it takes too long", async () => {
    const image = await slow("lock/app:1");
    newAgent();
    const properties = { images: [{ name: image.reference }] };
    const running = agent.start(properties);
    await image.pulling();
    const second = await agent.run({ ...properties, containerd: { ready_timeout: "1s" } });

    expect(second.exitCode).toBe(4);
    expect(second.seconds).toBeLessThan(10);
    expect(lastLine(second.stderr)).toMatch(
      new RegExp(
        `another run holds the lock \\(run \\S+, pid ${running.pid}, in progress since .*\\); waited 1`,
      ),
    );
    expect(agent.status()).toMatchObject({ phase: "importing", pid: running.pid });
    node.proxy.clear();
    const third = agent.start({ ...properties, containerd: { ready_timeout: "60s" } });
    await poll("it waits", () => agent.log().some((l) => l.msg === "waiting") || undefined);
    running.kill("SIGTERM");
    await running.ended;
    expectOk(await third.ended);
  });

  describe("without a usable runtime", () => {
    const cases = [
      { tool: "crictl", path: "/nowhere/crictl" },
      { tool: "ctr", path: "/nowhere/ctr" },
    ] as const;
    test.for(cases)("ends with 3 when $tool is missing", async ({ tool, path }) => {
      newAgent();
      const ended = await agent.run({ images: [{ name: "app:1" }], containerd: { [tool]: path } });

      expect(ended.exitCode).toBe(3);
      expect(lastLine(ended.stderr)).toBe(
        `import-images: container runtime not usable: ${tool} is not an executable at ${path} (property containerd.${tool})`,
      );
      expect(agent.status()).toMatchObject({ phase: "ended", exitCode: 3 });
    });

    test("ends with 3 when the socket never appears", async () => {
      newAgent();
      const socket = `${agent.folder}/never.sock`;
      const containerd = { socket, ready_timeout: "1s" };
      const ended = await agent.run({ images: [{ name: "app:1" }], containerd });

      expect(ended.exitCode).toBe(3);
      expect(ended.stdout).toContain(`waiting: containerd at ${socket} does not answer yet`);
      expect(lastLine(ended.stderr)).toContain(`containerd at ${socket} did not answer within 1.0s`);
    });
  });

  test("hands a password to nobody who would run a part of it", async () => {
    const entries = hostile.map(async (password, index) => {
      const image = await pushTo(node.locked, `hostile/app-${index}:1`);
      return { name: image.reference, username: "u", password };
    });
    const images = await Promise.all(entries);
    newAgent();
    expect((await agent.run({ images })).exitCode).toBe(1);

    expect(failures(agent.status())).toEqual(Object.fromEntries(images.map(({ name }) => [name, "auth"])));
    expect(readdirSync(agent.folder)).not.toContain("pwned");
  });

  test("looks for a tool under the path as it is", async () => {
    newAgent();
    const tool = "/nowhere/$(touch pwned)";
    const ended = await agent.run({ images: [], containerd: { crictl: tool } });

    expect(ended.exitCode).toBe(3);
    expect(ended.stderr).toContain(`crictl is not an executable at ${tool}`);
    expect(readdirSync(agent.folder)).not.toContain("pwned");
  });
});

describe("a configuration that cannot be used", () => {
  let folder: Folder;
  let agent: Agent;
  beforeEach(() => {
    folder = temporaryFolder();
    agent = agentWithoutContainerd(folder.path);
  });
  afterEach(() => folder[Symbol.dispose]());

  const expectUsage = (ended: Ended, ...messages: string[]): void => {
    expect(ended).toMatchObject({ exitCode: 2, signal: null });
    for (const message of messages) expect(ended.stderr).toContain(message);
    expect(ended.stderr).not.toContain("    at ");
    expect(readdirSync(agent.stateDirectory)).toEqual([]);
  };
  const runText = (text: string): Promise<Ended> => agent.exec(["--config", agent.write(text)]);

  test("is said to be missing, no file, or empty", async () => {
    expectUsage(
      await agent.exec(["--config", `${agent.folder}/none.json`]),
      `${agent.folder}/none.json does not exist`,
    );
    expectUsage(await agent.exec(["--config", agent.folder]), `${agent.folder} is not a regular file`);
    expectUsage(await runText(" \n"), "is empty");
  });

  test("is said to be truncated, with the place", async () => {
    expectUsage(
      await runText('{"images": [{"name": "app:1",\n  "retagAs"'),
      "config.json:2:",
      "is not valid JSON or YAML: the text ends too early",
    );
  });

  test("is said to be wrongly typed, every place at once and no value repeated", async () => {
    const ended = await runText(
      JSON.stringify({
        images: [
          { name: 7 },
          { retagAs: [{}] },
          "text-secret",
          { name: "app:1", pinn: true, required: "yes-secret" },
        ],
        concurrency: "many-secret",
        retry: [],
        deadline: 60,
      }),
    );

    expectUsage(
      ended,
      "images[0].name: must be an image reference",
      "images[1].name: is missing",
      "images[1].retagAs[0]: must be an image reference",
      "images[2]: must be a set of properties",
      "images[3].pinn: is not a property that this job knows",
      "images[3].required: must be true or false",
      "concurrency: ",
      "retry: must be a set of properties",
      "deadline: must be ",
      "nothing was done",
    );
    expect(ended.stderr).not.toContain("secret");
    expectUsage(await runText("[]"), "must be a set of properties");
    expectUsage(await runText("7"), "must be a set of properties");
  });

  test.for(hostile)("does nothing but name its place: %j in any property", async (value) => {
    const credentials = { auth: value, username: "", password: "" };
    const ended = await runText(
      JSON.stringify({
        images: [
          { name: value },
          { name: "app:1", retagAs: value },
          { name: "app:2", retagAs: ["app:3", value] },
          { name: "app:4", ...credentials },
          { name: "app:5", pullPolicy: value, required: value, pin: value, timeout: value },
        ],
        registries: [{ host: value, auth: authOf(login) }],
        docker_config: value,
        retry: { attempts: value, min_delay: value, max_delay: value },
        containerd: { crictl: value, ctr: value, socket: value, ready_timeout: value },
        disk: { min_free_percent: value },
        ...Object.fromEntries(scalars.map((name) => [name, value])),
      }),
    );

    expectUsage(ended, ...places.map((place) => ` ${place}: `));
    expect(ended.stderr.replaceAll(agent.folder, "")).not.toContain(value);
    expect(readdirSync(agent.folder)).not.toContain("pwned");
  });
  const scalars = [
    "pin",
    "on_failure",
    "concurrency",
    "stall_timeout",
    "image_timeout",
    "deadline",
    "start_jitter",
    "allow_credentials_in_argv",
    "log_level",
  ];
  const places = [
    ...["[0].name", "[1].retagAs", "[2].retagAs[1]", "[3].auth"].map((place) => `images${place}`),
    ...["pullPolicy", "required", "pin", "timeout"].map((name) => `images[4].${name}`),
    "registries[0].host",
    "docker_config",
    ...["attempts", "min_delay", "max_delay"].map((name) => `retry.${name}`),
    ...["crictl", "ctr", "socket", "ready_timeout"].map((name) => `containerd.${name}`),
    "disk.min_free_percent",
    ...scalars,
  ];
});
