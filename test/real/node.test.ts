// What is true of a node, and what becomes of it: the built executable judges and mends, crictl and ctr say how it was and is.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bashPostStart } from "../bosh/bash-release.ts";
import { type Containerd, type ContainerdOptions, startContainerd } from "../rig/containerd.ts";
import { poll } from "../rig/poll.ts";
import { type ImageSpec, type PushedImage, pushImage, pushIndex, tagImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { describeEveryLine } from "../rig/suite.ts";
import { type Agent, agentFor, type Ended } from "./support/agent.ts";
import { heldOn, pinPrefix, pushTo, startNode, type TestNode } from "./support/node.ts";
import { failures, imageOf } from "./support/status.ts";
import { countStarts } from "./support/tool-starts.ts";

const expectOk = (ended: Ended): void =>
  expect(ended, ended.stderr).toMatchObject({ exitCode: 0, signal: null });

const small = (seed: string): ImageSpec => ({ layers: [{ bytes: 40_000, seed }] });
const repositoryOf = (name: string): string => name.replace(/:[^:/]+$/u, "");
const byDigest = (name: string, { digest }: PushedImage): string => `${repositoryOf(name)}@${digest}`;

interface Inspected {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  /** Left out where it is not. */
  readonly pinned?: boolean;
}

/** What CRI finds under a name, as the kubelet would ask; undefined when it finds nothing. */
async function inspect({ crictl }: Containerd, name: string): Promise<Inspected | undefined> {
  const text = await crictl("inspecti", "--output", "json", name).catch((error: Error) => {
    if (/not found|no such image/iu.test(error.message)) return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const { status } = JSON.parse(text) as { status: Inspected };
  return { ...status, pinned: status.pinned ?? false };
}

let containers = 0;
/** Makes a container of what a record literally points to, with a snapshot of its own, and removes it. */
async function makesContainer({ ctr }: Containerd, name: string, snapshotter = "overlayfs"): Promise<void> {
  const id = `node-${(containers += 1)}`;
  await ctr("containers", "create", "--snapshotter", snapshotter, name, id);
  await ctr("containers", "rm", id);
}

/** Chain id of an image of one layer: the layer's own. */
async function chainIdOf({ ctr }: Containerd, { configDigest }: PushedImage): Promise<string> {
  const config = JSON.parse(await ctr("content", "get", configDigest)) as { rootfs: { diff_ids: string[] } };
  return config.rootfs.diff_ids[0] ?? "";
}

describeEveryLine("the node", (line) => {
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

  const push = (name: string, spec: ImageSpec = small(name)): Promise<PushedImage> =>
    pushTo(node.registry, name, spec);
  /** An image that a run put in place. */
  async function present(name: string, further: Record<string, unknown> = {}): Promise<PushedImage> {
    const image = await push(name);
    expectOk(await newAgent().run({ images: [{ name: image.reference, ...further }] }));
    return image;
  }
  const records = () => node.containerd.records();
  const requests = async (): Promise<number> => (await node.registry.requests()).length;
  const presence = async (
    properties: Record<string, unknown>,
  ): Promise<[number | null, Record<string, boolean>]> => {
    const ended = await agent.run(properties, "status", "--json");
    const { now } = JSON.parse(ended.stdout) as { now: { name: string; present: boolean }[] };
    return [ended.exitCode, Object.fromEntries(now.map((row) => [row.name, row.present]))];
  };
  const pinsOf = async ({ digest }: Pick<PushedImage, "digest">): Promise<string[]> =>
    [...(await records()).values()]
      .filter((record) => record.digest === digest && record.name.startsWith(pinPrefix))
      .map(({ name }) => name);

  describe("counts a name only as a literal record:", () => {
    const alike = ["debian-base:v2", "index.docker.io/library/literal:1"];
    const wanted = ["docker.io/library/debian-base:v2", "docker.io/library/literal:1"];

    test("names that only CRI takes for the wanted ones are missing, and come beside them", async () => {
      const image = await push("literal/base:1");
      await node.containerd.crictl("pull", image.reference);
      await node.containerd.ctr("images", "tag", image.reference, ...alike);
      const before = await records();
      newAgent();
      const properties = { images: [{ name: image.reference, retagAs: ["debian-base:v2", "literal:1"] }] };
      await poll("CRI takes them for the wanted ones", async () => {
        const shown = (await node.containerd.images()).flatMap(({ repoTags }) => repoTags);
        return wanted.every((name) => shown.includes(name)) || undefined;
      });

      expect(await presence(properties)).toEqual([
        1,
        {
          [image.reference]: true,
          ...Object.fromEntries(
            wanted.flatMap((name) => [name, byDigest(name, image)]).map((name) => [name, false]),
          ),
        },
      ]);
      const plan = await agent.run(properties, "plan");
      for (const name of wanted) expect(plan.stdout).toContain(`  tag  ${name}: not on this node`);
      await node.registry.clearRequests();
      expectOk(await agent.run(properties));

      expect(await requests()).toBe(0);
      const after = await records();
      for (const name of wanted) {
        expect(after.get(name)?.digest, name).toBe(image.digest);
        await makesContainer(node.containerd, name);
      }
      for (const name of alike) expect(after.get(name), name).toEqual(before.get(name));
      expect((await presence(properties))[0]).toBe(0);
    });

    test("a source that is here only under another spelling is pulled", async () => {
      const image = await push("library/spelled:1");
      await node.containerd.useHost("docker.io", { server: `http://${node.registry.host}` });
      await node.containerd.crictl("pull", image.reference);
      await node.containerd.ctr(
        "images",
        "tag",
        image.reference,
        "spelled:1",
        "index.docker.io/library/spelled:1",
      );
      newAgent();
      expectOk(await agent.run({ images: [{ name: "spelled:1" }] }));

      const found = (await records()).get("docker.io/library/spelled:1");
      expect(found?.digest).toBe(image.digest);
      expect(imageOf(agent.status(), "docker.io/library/spelled:1").phase).toBe("pulled");
    });

    test("a node of the bash release, with its disk, has everything after one run without a request", async () => {
      const [base, nginx] = [await push("bash/debian-base:v2.0.0"), await push("bash/nginx:1")];
      const { crictlPath: crictl, ctrPath: ctr, socket } = node.containerd;
      const list = [
        { name: base.reference, retagAs: "bash-base:v2" },
        { name: nginx.reference, retagAs: "registry.k8s.io/bash-nginx:1" },
      ];
      expect(await bashPostStart(list, { crictl, ctr, socket })).toBe(0);
      const before = await records();
      expect(before.has("bash-base:v2")).toBe(true);
      await node.registry.clearRequests();
      expectOk(await newAgent().run({ images: list }));

      expect(await requests()).toBe(0);
      const after = await records();
      const names = [
        "docker.io/library/bash-base:v2",
        "registry.k8s.io/bash-nginx:1",
        base.reference,
        nginx.reference,
      ];
      for (const name of names) await makesContainer(node.containerd, name);
      // Nobody's records are deleted or labelled.
      for (const [name, record] of before)
        if (!name.startsWith(pinPrefix)) expect(after.get(name), name).toEqual(record);
      expect(await presence({ images: list })).toEqual([
        0,
        Object.fromEntries(names.map((name) => [name, true])),
      ]);
    });
  });

  describe("sees an image that is damaged, and pulls it again:", () => {
    interface Damage {
      readonly what: string;
      readonly missing: string;
      readonly done: (image: PushedImage) => Promise<unknown>;
    }
    const removeContent = (digest: string): Promise<unknown> => node.containerd.ctr("content", "rm", digest);
    const removeSnapshot = async (image: PushedImage): Promise<unknown> =>
      node.containerd.ctr("snapshots", "rm", await chainIdOf(node.containerd, image));
    const damages: readonly Damage[] = [
      {
        what: "config",
        missing: "its config is missing",
        done: ({ configDigest }) => removeContent(configDigest),
      },
      { what: "manifest", missing: "its manifest is missing", done: ({ digest }) => removeContent(digest) },
      {
        what: "layer",
        missing: "1 of 1 layers are missing",
        done: async (image) => {
          await removeSnapshot(image);
          await removeContent(image.layers[0]!.digest);
        },
      },
    ];

    test.for(damages)("without its $what", async ({ what, missing, done }) => {
      const retagAs = `damaged-${what}:1`;
      const image = await present(`damaged/${what}:1`, { retagAs });
      const properties = { images: [{ name: image.reference, retagAs }] };
      await done(image);
      const status = await agent.run(properties, "status");
      const plan = await agent.run(properties, "plan");

      expect(status.exitCode).toBe(1);
      expect(status.stdout).toContain(`it is damaged: ${missing}`);
      expect(plan.stdout).toContain(`pull   ${image.reference}: damaged: ${missing}`);
      await node.registry.clearRequests();
      const ended = await agent.run(properties);
      expectOk(ended);
      expect(imageOf(agent.status(), image.reference).phase).toBe("pulled");
      expect(await requests()).toBeGreaterThan(0);
      for (const name of [image.reference, `docker.io/library/${retagAs}`]) {
        await makesContainer(node.containerd, name);
        expect((await inspect(node.containerd, name))?.id, name).toBe(image.configDigest);
      }
      expect((await presence(properties))[0]).toBe(0);
      expect(await heldOn(node.containerd)).toEqual([]);
    });

    test("but not without its snapshot alone, which is made of the layers when a container needs it", async () => {
      const image = await present("damaged/snapshot:1");
      await removeSnapshot(image);
      await node.registry.clearRequests();

      expect((await presence({ images: [{ name: image.reference }] }))[0]).toBe(0);
      expectOk(await agent.run({ images: [{ name: image.reference }] }));
      expect(await requests()).toBe(0);
      await makesContainer(node.containerd, image.reference);
    });

    test("but not without its layer alone, once it is unpacked", async () => {
      const image = await present("damaged/unpacked:1");
      await removeContent(image.layers[0]!.digest);
      await node.registry.clearRequests();

      expect((await presence({ images: [{ name: image.reference }] }))[0]).toBe(0);
      expectOk(await agent.run({ images: [{ name: image.reference }] }));
      expect(await requests()).toBe(0);
      await makesContainer(node.containerd, image.reference);
    });
  });

  describe("is given no further name and no pin for", () => {
    const chart: ImageSpec = {
      ...small("chart"),
      types: {
        config: "application/vnd.cncf.helm.config.v1+json",
        layer: "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
      },
      config: { apiVersion: "v2", name: "chart", version: "1.0.0" },
    };
    /** As cosign pushes one. */
    const signature: ImageSpec = {
      ...small("signature"),
      types: {
        config: "application/vnd.oci.image.config.v1+json",
        layer: "application/vnd.dev.cosign.simplesigning.v1+json",
      },
      config: {
        architecture: "",
        os: "",
        created: "0001-01-01T00:00:00Z",
        config: {},
        rootfs: { type: "layers", diff_ids: [`sha256:${"1".repeat(64)}`] },
      },
    };
    const cases = [
      {
        what: "an image for s390x",
        class: "platform",
        next: "platform",
        spec: { ...small("s390x"), platform: "linux/s390x" },
      },
      {
        what: "an image for arm64",
        class: "platform",
        next: "platform",
        spec: { ...small("arm64"), platform: "linux/arm64" },
      },
      { what: "a chart", class: "not-an-image", next: "list a container image", spec: chart },
      { what: "a signature", class: "not-an-image", next: "list a container image", spec: signature },
    ] as const;

    test.for(cases)("$what, which fails as $class", async ({ what, spec, next, ...expected }) => {
      const slug = what.split(" ").at(-1) ?? "";
      const [unfit, fine] = [await push(`unfit/${slug}:1`, spec), await push(`unfit/${slug}-beside:1`)];
      const retagAs = `unfit-${slug}:1`;
      newAgent();
      const ended = await agent.run({
        images: [{ name: unfit.reference, retagAs }, { name: fine.reference }],
      });

      expect(ended.exitCode).toBe(1);
      expect(failures(agent.status())).toEqual({ [unfit.reference]: expected.class });
      expect(ended.stderr).toContain(next);
      expect(imageOf(agent.status(), unfit.reference).attempts).toBe(1);
      expect(imageOf(agent.status(), fine.reference).phase).toBe("pulled");
      const names = await records();
      expect([
        names.has(`docker.io/library/${retagAs}`),
        names.has(`docker.io/library/unfit-${slug}@${unfit.digest}`),
      ]).toEqual([false, false]);
      expect(await pinsOf(unfit)).toEqual([]);
    });
  });

  /** An index of images for these platforms, the first of them being this node's or none. */
  async function pushMany(name: string, ...platforms: string[]) {
    const images: PushedImage[] = [];
    for (const platform of platforms) {
      const spec = { ...small(`${name}-${platform}`), platform };
      images.push(await push(`${name}:${platform.slice("linux/".length)}`, spec));
    }
    const index = await pushIndex(
      node.registry,
      `${name}:1`,
      images.map((image) => ({ image })),
    );
    return { ...index, images };
  }

  describe("takes an index", () => {
    test("for the image that it holds for this platform: names and pin point to the index, and its manifest counts", async () => {
      const { reference, digest, images } = await pushMany("index/app", "linux/amd64", "linux/arm64");
      const ours = images[0]!;
      newAgent();
      const properties = { images: [{ name: reference, retagAs: "registry.k8s.io/index-app:1" }] };
      expectOk(await agent.run(properties));

      for (const name of [
        "registry.k8s.io/index-app:1",
        `registry.k8s.io/index-app@${digest}`,
        `${repositoryOf(reference)}@${digest}`,
      ]) {
        expect((await inspect(node.containerd, name))?.id, name).toBe(ours.configDigest);
        await makesContainer(node.containerd, name);
      }
      expect(await pinsOf({ digest })).toHaveLength(node.pins ? 1 : 0);
      expect((await inspect(node.containerd, reference))?.pinned).toBe(node.pins);
      await node.registry.clearRequests();
      expectOk(await agent.run(properties));
      expect(await requests()).toBe(0);

      await node.containerd.ctr("content", "rm", ours.digest);
      expect((await agent.run(properties, "plan")).stdout).toContain(
        `pull   ${reference}: damaged: its manifest is missing`,
      );
      expectOk(await agent.run(properties));
      await makesContainer(node.containerd, reference);
    });

    test("that holds nothing for this platform as a failure of class platform", async () => {
      const { reference, digest } = await pushMany("index/foreign", "linux/arm64", "linux/s390x");
      newAgent();
      const ended = await agent.run({ images: [{ name: reference, retagAs: "index-foreign:1" }] });

      expect(ended.exitCode).toBe(1);
      expect(failures(agent.status())).toEqual({ [reference]: "platform" });
      expect((await records()).has("docker.io/library/index-foreign:1")).toBe(false);
      expect(await pinsOf({ digest })).toEqual([]);
    });
  });

  test("is read back at the end: an image that somebody removes during the run is pulled once more", async () => {
    const [gone, slow] = [
      await push("removed/app:1"),
      await push("removed/slow:1", { layers: [{ bytes: 3_000_000, seed: "removed" }] }),
    ];
    const slowName = `${node.proxy.host}/removed/slow:1`;
    const { digest } = slow.layers[0]!;
    node.proxy.add({ digest, bytesPerSecond: 500_000 });
    newAgent();
    const running = agent.start({
      images: [{ name: gone.reference, retagAs: "removed-app:1" }, { name: slowName }],
    });
    await agent.logged("it is named", ({ event, image }) => event === "tagged" && image === gone.reference);
    await node.containerd.crictl("rmi", gone.reference);
    expect((await records()).has(gone.reference)).toBe(false);
    node.proxy.clear();
    expectOk(await running.ended);

    const pulls = agent.log().filter(({ event, image }) => event === "pulled" && image === gone.reference);
    expect(pulls).toHaveLength(2);
    expect(imageOf(agent.status(), gone.reference)).toMatchObject({ phase: "pulled", pinned: node.pins });
    await makesContainer(node.containerd, gone.reference);
    await makesContainer(node.containerd, "docker.io/library/removed-app:1");
  });

  describe("gets the names that a pull would give:", () => {
    test("by tag and by digest, in the one start of ctr beside the one of crictl, and a rerun starts nothing", async () => {
      const image = await push("names/app:1");
      const further = ["registry.k8s.io/team/app:1", "docker.io/library/names-app:2"];
      const starts = countStarts(node.containerd);
      newAgent();
      const properties = {
        images: [{ name: image.reference, retagAs: ["registry.k8s.io/team/app:1", "names-app:2"] }],
        containerd: starts.tools,
      };
      expectOk(await agent.run(properties));

      const digestNames = further.map((name) => byDigest(name, image));
      const [pull, tag, ...others] = starts.taken();
      expect(pull).toEqual(["crictl", "pull", image.reference]);
      expect(tag?.slice(0, 5)).toEqual(["ctr", "images", "tag", "--force", byDigest(image.reference, image)]);
      expect(tag?.slice(5).toSorted()).toEqual([...further, ...digestNames].toSorted());
      expect(others).toEqual([]);
      const spellings = [
        ...further,
        ...digestNames,
        ...further.map((name) => `${name}@${image.digest}`),
        `${image.reference}@${image.digest}`,
      ];
      for (const name of spellings)
        expect((await inspect(node.containerd, name))?.id, name).toBe(image.configDigest);
      for (const name of [...further, ...digestNames]) await makesContainer(node.containerd, name);

      await node.registry.clearRequests();
      expectOk(await agent.run(properties));
      expect(starts.taken()).toEqual([]);
      expect(await requests()).toBe(0);
    });

    test("only where one is missing or leads elsewhere", async () => {
      const image = await present("names/kept:1", { retagAs: ["names-kept:1", "names-kept:2"] });
      await node.containerd.ctr("images", "rm", "docker.io/library/names-kept:2");
      const starts = countStarts(node.containerd);
      const images = [{ name: image.reference, retagAs: ["names-kept:1", "names-kept:2"] }];
      expectOk(await agent.run({ images, containerd: starts.tools }));

      expect(starts.taken()).toEqual([
        [
          "ctr",
          "images",
          "tag",
          "--force",
          byDigest(image.reference, image),
          "docker.io/library/names-kept:2",
        ],
      ]);
    });

    test("by the digest that was looked at, also when its tag moves before ctr gives the names", async () => {
      const image = await push("names/moves:1");
      const { folder, crictlPath, ctrPath, socket } = node.containerd;
      await node.containerd.crictl("pull", image.reference);
      const moved = await push("names/moves:1", small("names/moves:1, anew"));
      const ctr = path.join(folder, "ctr-late");
      const pull = `${crictlPath} -r unix://${socket} -i unix://${socket} pull ${image.reference}`;
      const once = `[ -e ${ctr}.done ] || { : >${ctr}.done; ${pull} >${ctr}.log 2>&1; }`;
      writeFileSync(ctr, `#!/bin/sh\n${once}\nexec ${ctrPath} "$@"\n`, { mode: 0o755 });
      newAgent();
      const images = [{ name: image.reference, retagAs: "names-moves:1", pullPolicy: "IfNotPresent" }];
      expectOk(await agent.run({ images, containerd: { ctr } }));

      const after = await records();
      expect(after.get(image.reference)?.digest).toBe(moved.digest);
      expect(after.get("docker.io/library/names-moves:1")?.digest).toBe(moved.digest);
      const byDigests = [...after.values()].filter(({ name }) => name.includes("moves@"));
      expect(byDigests.length).toBeGreaterThan(1);
      for (const { name, digest } of byDigests) expect(name.split("@")[1]).toBe(digest);
    });

    test("by a digest that the image has, in the first run, and with none a clear failure that stops no other", async () => {
      const [right, wrong] = [await push("names/right:1"), await push("names/wrong:1")];
      const other = `sha256:${"0".repeat(64)}`;
      newAgent();
      const ended = await agent.run({
        images: [
          { name: wrong.reference, retagAs: [`names-wrong@${other}`, "names-wrong:1"] },
          { name: right.reference, retagAs: `names-right@${right.digest}` },
        ],
      });

      expect(ended.exitCode).toBe(1);
      expect(failures(agent.status())).toEqual({ [wrong.reference]: "reference" });
      const failure = imageOf(agent.status(), wrong.reference).failure;
      expect(failure?.message).toContain(wrong.digest);
      expect(failure?.message).toContain(`docker.io/library/names-wrong@${other}`);
      expect(failure?.next).toContain("correct the digest in retagAs");
      const name = `docker.io/library/names-right@${right.digest}`;
      expect((await inspect(node.containerd, name))?.id).toBe(right.configDigest);
      await makesContainer(node.containerd, name);
      const names = await records();
      expect([...names.keys()].filter((each) => each.includes("names-wrong"))).toEqual([]);
    });
  });

  describe("has pins", () => {
    const cri = async (image: PushedImage, name = image.reference) => inspect(node.containerd, name);
    const rowsOf = async (): Promise<string[]> =>
      (await node.containerd.crictl("images", "--no-trunc")).split("\n");

    test("as one record for each image, which shows up in no list of images", async () => {
      const image = await push("pins/one:1");
      await tagImage(node.registry, image, "2");
      const second = `${node.registry.host}/pins/one:2`;
      newAgent();
      const images = [{ name: image.reference, retagAs: ["pins-one:1"] }, { name: second }];
      const ended = await agent.run({ images });
      expectOk(ended);

      expect(await pinsOf(image)).toEqual(node.pins ? [`${pinPrefix}${image.digest}`] : []);
      for (const name of [image.reference, second, "docker.io/library/pins-one:1"])
        expect(await cri(image, name), name).toMatchObject({ id: image.configDigest, pinned: node.pins });
      const rows = (await rowsOf()).filter((row) => row.includes(image.configDigest));
      expect(rows.map((row) => row.split(/\s+/u).slice(0, 2).join(":")).toSorted()).toEqual(
        [image.reference, second, "docker.io/library/pins-one:1"].toSorted(),
      );
      for (const [name, { labels }] of await records())
        if (!name.startsWith(pinPrefix)) expect(labels, name).not.toHaveProperty("io.cri-containerd.pinned");
      if (!node.pins) expect(agent.status().warnings.join("\n")).toContain("is too old to pin images");
    });

    test("that neither a pull by others nor a tag moved by others takes away, and that leave with the list", async (context) => {
      if (!node.pins) context.skip("this containerd has no pins");
      const [image, other] = [
        await present("pins/stays:1", { retagAs: "pins-stays:1" }),
        await push("pins/moved:1"),
      ];
      await node.containerd.crictl("pull", image.reference);
      await node.containerd.crictl("pull", other.reference);
      await node.containerd.ctr(
        "images",
        "tag",
        "--force",
        other.reference,
        "docker.io/library/pins-stays:1",
      );
      expect(await cri(image)).toMatchObject({ pinned: true });
      await tagImage(node.registry, other, "stays");
      expect(await pinsOf(image)).toHaveLength(1);

      const properties = { images: [{ name: other.reference }] };
      const plan = await agent.run(properties, "plan", "--json");
      expect((JSON.parse(plan.stdout) as { unpin: string[] }).unpin).toContain(image.reference);
      expectOk(await agent.run(properties));
      expect(await pinsOf(image)).toEqual([]);
      expect(await pinsOf(other)).toHaveLength(1);
      expect(await cri(image)).toMatchObject({ id: image.configDigest, pinned: false });
      expect(agent.status().unpinned).toContain(image.reference);
    });
  });
});

describeEveryLine("a node with settings of its own", (line) => {
  let registry: Registry;

  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(() => registry.stop());

  async function filled(name: string, options: ContainerdOptions) {
    const containerd = await startContainerd(line, options);
    const image = await pushImage(registry, name, {
      layers: [
        { bytes: 40_000, seed: `${name}-1` },
        { bytes: 40_000, seed: `${name}-2` },
      ],
    });
    const agent = agentFor(containerd);
    const starts = countStarts(containerd);
    const properties = { images: [{ name: image.reference, retagAs: "own:1" }], containerd: starts.tools };
    const first = await agent.run(properties);
    return {
      containerd,
      image,
      agent,
      starts,
      properties,
      first,
      [Symbol.asyncDispose]: () => containerd.stop(),
    };
  }

  async function expectNothingToDo({
    agent,
    starts,
    properties,
  }: Awaited<ReturnType<typeof filled>>): Promise<void> {
    starts.taken();
    await registry.clearRequests();
    expect((await agent.run(properties, "status")).exitCode).toBe(0);
    expectOk(await agent.run(properties));
    expect(starts.taken()).toEqual([]);
    expect(await registry.requests()).toEqual([]);
  }

  test("that discards unpacked layers counts its images as present", async () => {
    await using node = await filled("own/discarded:1", { discardUnpackedLayers: true });
    const { containerd, image, first } = node;
    expectOk(first);
    const blobs = async () => (await containerd.ctr("content", "ls", "--quiet")).split("\n");
    // They go with the next garbage collection.
    await containerd.ctr("leases", "create", "--id", "collect");
    await containerd.ctr("leases", "rm", "--sync", "collect");

    for (const { digest } of image.layers) expect(await blobs()).not.toContain(digest);
    await expectNothingToDo(node);
    await makesContainer(containerd, "docker.io/library/own:1");
  });

  test("whose CRI uses the snapshotter native counts its images as present, and sees when one is damaged", async () => {
    await using node = await filled("own/native:1", { snapshotter: "native" });
    const { containerd, image, agent, properties, first } = node;
    expectOk(first);
    await expectNothingToDo(node);
    await makesContainer(containerd, "docker.io/library/own:1", "native");

    const top =
      (await containerd.ctr("snapshots", "--snapshotter", "native", "tree")).trim().split(/\s+/u).at(-1) ??
      "";
    await containerd.ctr("snapshots", "--snapshotter", "native", "rm", top.replace(/^\W+/u, ""));
    await containerd.ctr("content", "rm", image.layers[1]!.digest);
    const status = await agent.run(properties, "status");
    expect(status.exitCode).toBe(1);
    expect(status.stdout).toContain("it is damaged: 1 of 2 layers are missing");
    expectOk(await agent.run(properties));
    await makesContainer(containerd, image.reference, "native");
  });
});
