// The contract that src/runtime/containerd.ts keeps with every containerd, and the facts about containerd on which the run relies.
import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { credentialFromPair } from "../../src/core/credentials.ts";
import { classify } from "../../src/core/evidence.ts";
import { layersOf, partsOf } from "../../src/core/manifest.ts";
import { redactor } from "../../src/core/redact.ts";
import { parseReference, type Reference } from "../../src/core/reference.ts";
import { CommandError, commandRunner } from "../../src/runtime/command.ts";
import { containerdRuntime } from "../../src/runtime/containerd.ts";
import type { PullOptions } from "../../src/runtime/image-runtime.ts";
import { poll } from "../rig/poll.ts";
import { type PushedImage, pushImage, pushIndex, tagImage } from "../rig/push.ts";
import { describeEachLine } from "../rig/suite.ts";
import { clientsOf, login, namesOn, pushTo, startNode, type TestNode } from "./support/node.ts";

const credential = credentialFromPair(login.user, login.password);
const CRI_PIN = "io.cri-containerd.pinned";
const OUR_PIN = "io.import-images.pinned";

const referenceOf = (name: string): Reference => {
  const parsed = parseReference(name);
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.reference;
};

const runtimeOn = ({ containerd }: TestNode) =>
  containerdRuntime(commandRunner(redactor([credential]), new AbortController().signal), {
    containerd: {
      crictl: containerd.crictlPath,
      ctr: containerd.ctrPath,
      socket: containerd.socket,
      namespace: "k8s.io",
      readyTimeout: 10_000,
    },
    allowCredentialsInArgv: false,
  });

describeEachLine("the container runtime", (line) => {
  let node: TestNode;
  let runtime: ReturnType<typeof runtimeOn>;

  beforeAll(async () => {
    node = await startNode(line);
    runtime = runtimeOn(node);
  });
  afterEach(() => {
    node.proxy.clear();
    node.proxy.clearRequests();
  });
  afterAll(() => node[Symbol.asyncDispose]());

  const push = (name: string, bytes = 40_000): Promise<PushedImage> =>
    pushTo(node.registry, name, { layers: [{ bytes, seed: name }] });
  const through = ({ repository, tag }: PushedImage): string => `${node.proxy.host}/${repository}:${tag}`;
  const pull = (name: string, options: Partial<PullOptions> = {}): Promise<string> =>
    runtime.pull(name, { signal: new AbortController().signal, timeout: 60_000, ...options });
  const pulled = async (name: string): Promise<PushedImage> => {
    const image = await push(name);
    await pull(image.reference);
    return image;
  };
  const failureOf = async (pulling: Promise<unknown>): Promise<CommandError> => {
    const error: unknown = await pulling.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!(error instanceof CommandError))
      throw new Error("the pull did not fail as a tool does", { cause: error });
    return error;
  };
  const labelsOf = async (name: string): Promise<Record<string, string>> =>
    (await node.containerd.labels()).get(name) ?? {};
  const listed = async (name: string) => (await runtime.images()).find(({ names }) => names.includes(name));
  /** CRI learns of what ctr does by an event. */
  const untilCri = (what: string, holds: (pinned: boolean, id: string) => boolean, name: string) =>
    poll(`CRI ${what}`, async () => {
      const found = await listed(name);
      return found !== undefined && holds(found.pinned, found.id) ? true : undefined;
    });

  test("tells containerd's version", async () => {
    const version = await runtime.version(new AbortController().signal);

    expect(node.containerd.version).toContain(version.version);
  });

  test("lists an image with its id, all its names and its compressed size", async () => {
    const image = await pulled("contract/listed:1");

    expect(await listed(image.reference)).toMatchObject({
      id: image.configDigest,
      names: [image.reference, `${node.registry.host}/${image.repository}@${image.digest}`],
      pinned: false,
    });
    // Config and manifest are small beside the layer; unpacked it would be more than the layer by a block of tar.
    const size = (await listed(image.reference))?.size ?? 0;
    expect(size).toBeGreaterThanOrEqual(image.layers[0]!.size);
    expect(size).toBeLessThan(image.layers[0]!.size + 4_000);
  });

  test("gives the id that a pulled name has", async () => {
    const [first, second] = [await push("contract/moving:1"), await push("contract/moving:2")];

    expect(await pull(first.reference)).toBe(first.configDigest);
    expect(await pull(first.reference)).toBe(first.configDigest);
    await tagImage(node.registry, second, "1");
    expect(await pull(first.reference)).toBe(second.configDigest);
    expect((await listed(first.reference))?.id).toBe(second.configDigest);
  });

  test("pulls by digest", async () => {
    const image = await push("contract/digest:1");
    const name = `${node.registry.host}/${image.repository}@${image.digest}`;

    expect(await pull(name)).toBe(image.configDigest);
    expect((await listed(name))?.names).toEqual([name]);
  });

  test("passes credentials on, and fails as auth without them or with others", async () => {
    const image = await pushTo(node.locked, "contract/private:1");
    const none = await failureOf(pull(image.reference));
    const wrong = await failureOf(
      pull(image.reference, { credential: credentialFromPair(login.user, "no-sword") }),
    );

    expect(classify(none.message)).toBe("auth");
    expect(classify(wrong.message)).toBe("auth");
    expect(await pull(image.reference, { credential })).toBe(image.configDigest);
  });

  test("fails as not found where there is no tag or no repository", async () => {
    await push("contract/there:1");
    const tag = await failureOf(pull(`${node.registry.host}/contract/there:2`));
    const repository = await failureOf(pull(`${node.registry.host}/contract/nowhere:1`));

    expect(classify(tag.message)).toBe("not-found");
    expect(classify(repository.message)).toBe("not-found");
  });

  test("ends a pull by a signal, in containerd as well", async () => {
    const image = await push("contract/signal:1", 3_000_000);
    const { digest } = image.layers[0]!;
    node.proxy.set({ digest, bytesPerSecond: 200_000 });
    const stop = new AbortController();
    const pulling = failureOf(pull(through(image), { signal: stop.signal }));
    await node.proxy.served(digest, 100_000);
    stop.abort();

    expect((await pulling).cancelled).toBe(true);
    await downloadEnded(digest);
    expect(await servedWithin(1_000, digest)).toBe(0);
    expect(clientsOf(node.containerd)).toEqual([]);
    expect(await listed(through(image))).toBeUndefined();
  });

  test("ends a pull that takes longer than it may", async () => {
    const image = await push("contract/slow:1", 3_000_000);
    const { digest } = image.layers[0]!;
    node.proxy.set({ digest, bytesPerSecond: 100_000 });
    const failure = await failureOf(pull(through(image), { timeout: 1_000 }));

    expect(failure).toMatchObject({ timedOut: true });
    await downloadEnded(digest);
  });

  const downloadEnded = (digest: string) =>
    poll("containerd has ended the download", () => {
      const open = node.proxy
        .requests()
        .filter((request) => request.digest === digest && request.outcome === "open");
      return open.length === 0 || undefined;
    });
  const servedWithin = async (ms: number, digest: string): Promise<number> => {
    const before = node.proxy.bytesServedFor(digest);
    await delay(ms);
    return node.proxy.bytesServedFor(digest) - before;
  };

  test("pins a name, tells it as pinned by us, and takes the pin away", async () => {
    const image = await pulled("contract/pin:1");
    await runtime.pin(image.reference);
    await runtime.pin(image.reference);

    expect(await runtime.pinned()).toContain(image.reference);
    expect(await runtime.pinnedByUs()).toContain(image.reference);
    // 1.6.20 is too old: the label is there, and CRI takes no notice.
    if (node.pins) await untilCri("reports the pin", (pinned) => pinned, image.reference);
    await runtime.unpin(image.reference);
    expect(await runtime.pinned()).not.toContain(image.reference);
    expect(await runtime.pinnedByUs()).not.toContain(image.reference);
    await untilCri("reports no pin", (isPinned) => !isPinned, image.reference);
  });

  test("tells a pin of somebody else's as not ours", async () => {
    const image = await pulled("contract/foreign-pin:1");
    await node.containerd.ctr("images", "label", image.reference, `${CRI_PIN}=pinned`);

    expect(await runtime.pinned()).toContain(image.reference);
    expect(await runtime.pinnedByUs()).not.toContain(image.reference);
  });

  test("gives further names in one call, again, and moves one from another image", async () => {
    const [image, other] = [await pulled("contract/tag:1"), await pulled("contract/tag-other:1")];
    const [target, second] = ["docker.io/library/contract-tag:1", "docker.io/library/contract-tag:2"];
    await runtime.tag(image.reference, [target, second], { local: false });
    await untilCri("lists the tag", (_, id) => id === image.configDigest, target);
    await untilCri("lists the second tag", (_, id) => id === image.configDigest, second);
    await runtime.tag(image.reference, [target], { local: false });
    await untilCri("lists the tag", (_, id) => id === image.configDigest, target);
    await runtime.tag(other.reference, [target], { local: false });
    await untilCri("lists the moved tag", (_, id) => id === other.configDigest, target);

    const names = await namesOn(node.containerd);
    expect(names.get(image.reference)?.id).toBe(image.configDigest);
  });

  test("loses the pin of a name that is moved or pulled anew, which is why those are pinned last", async () => {
    const image = await pulled("contract/dropped:1");
    const target = "docker.io/library/contract-dropped:1";
    await runtime.tag(image.reference, [target], { local: false });
    await runtime.pin(target);
    await runtime.tag(image.reference, [target], { local: false });
    expect(await labelsOf(target)).not.toHaveProperty(OUR_PIN);

    await runtime.pin(image.reference);
    await pull(image.reference);
    expect(await labelsOf(image.reference)).not.toHaveProperty(OUR_PIN);
  });

  test("gives a new name the pin of its source, through the transfer service of 2.x only when it is told to", async () => {
    const image = await pulled("contract/inherited:1");
    const name = (tag: string): string => `docker.io/library/contract-inherited:${tag}`;
    await runtime.pin(image.reference);
    await runtime.tag(image.reference, [name("1"), name("2")], { local: line === "2" });
    await runtime.tag(image.reference, [name("transfer")], { local: false });

    const ours = await runtime.pinnedByUs();
    expect(ours).toEqual(expect.arrayContaining([name("1"), name("2")]));
    expect(ours.includes(name("transfer"))).toBe(line !== "2");
    if (node.pins) await untilCri("reports the pin", (pinned) => pinned, name("2"));
  });

  test("shows the downloads, blobs and manifest of an image while it is pulled", async () => {
    const image = await pushTo(node.registry, "contract/watched:1", {
      layers: [
        { bytes: 20_000, seed: "watched-small" },
        // containerd writes a MiB at once, so less would show no growth.
        { bytes: 4_000_000, seed: "watched-large" },
      ],
    });
    const [small, large] = [image.layers[0]!, image.layers[1]!];
    node.proxy.set({ digest: large.digest, bytesPerSecond: 1_000_000 });
    const pulling = pull(through(image));
    const sizeOf = async (digest: string): Promise<number | undefined> =>
      (await runtime.ingests()).find(({ ref }) => ref.endsWith(`-${digest}`))?.size;
    const early = await poll("a download is seen", async () => (await sizeOf(large.digest)) || undefined);
    const later = await poll("it grows", async () => {
      const size = await sizeOf(large.digest);
      return size !== undefined && size > early ? size : undefined;
    });
    const blobs = await runtime.blobs([referenceOf(through(image))], [large.digest]);
    const manifest = blobs.find(({ digest }) => digest === image.digest);

    expect(later).toBeLessThanOrEqual(large.size);
    expect(blobs.map(({ digest }) => digest)).toContain(small.digest);
    expect(blobs.map(({ digest }) => digest)).not.toContain(large.digest);
    expect(partsOf(manifest?.labels ?? new Map())).toEqual(
      expect.arrayContaining([image.configDigest, small.digest, large.digest]),
    );
    expect(layersOf(await runtime.read(image.digest))).toEqual([
      { digest: small.digest, size: small.size },
      { digest: large.digest, size: large.size },
    ]);
    await pulling;
    expect(await sizeOf(large.digest)).toBeUndefined();
    expect((await runtime.blobs([], [large.digest])).map(({ digest }) => digest)).toEqual([large.digest]);
  });

  /** Two layers, of which the second arrives damaged, after `root` was held; the first one's digest. */
  async function breakPull(name: string, broken: PushedImage, root: string): Promise<string> {
    const [whole, half] = [broken.layers[0]!, broken.layers[1]!];
    node.proxy.set({ digest: half.digest, bytesPerSecond: 1_000_000, corruptAt: 1_500_000 });
    const pulling = failureOf(pull(name));
    await poll("the first layer is there", async () => {
      const blobs = await runtime.blobs([referenceOf(name)], []);
      const digests = new Set(blobs.map(({ digest }) => digest));
      return (digests.has(whole.digest) && digests.has(root)) || undefined;
    });
    await runtime.hold(root);
    expect(classify((await pulling).message)).toBe("transfer");
    return whole.digest;
  }
  const twoLayers = (name: string) =>
    ({
      layers: [
        { bytes: 20_000, seed: `${name}-whole` },
        { bytes: 2_000_000, seed: `${name}-half` },
      ],
    }) as const;
  const isThere = async (digest: string): Promise<boolean> =>
    (await runtime.blobs([], [digest])).length === 1;

  /** A label taken away starts no collection; the end of any pull does. */
  async function collected(digest: string): Promise<void> {
    await pulled(`contract/after-${digest.slice(7, 17)}:1`);
    await poll("the layer is collected", async () => !(await isThere(digest)) || undefined);
  }

  test("holds finished layers across a failed pull, and lets go of them", async () => {
    const image = await pushImage(node.registry, "contract/held:1", twoLayers("held"));
    const layer = await breakPull(through(image), image, image.digest);
    await delay(2_000);

    expect(await isThere(layer)).toBe(true);
    expect(await runtime.held()).toEqual([image.digest]);
    await runtime.release(image.digest);
    expect(await runtime.held()).toEqual([]);
    await collected(layer);
  });

  test("holds the layers of a multi-platform image by its index", async () => {
    const images = [];
    for (const platform of ["linux/amd64", "linux/arm64"]) {
      const spec = { ...twoLayers(`index-${platform}`), platform };
      images.push(await pushImage(node.registry, `contract/index:${platform.slice(6)}`, spec));
    }
    const index = await pushIndex(
      node.registry,
      "contract/index:1",
      images.map((image) => ({ image })),
    );
    const name = `${node.proxy.host}/contract/index:1`;
    const layer = await breakPull(name, images[0]!, index.digest);
    await delay(2_000);

    expect(await isThere(layer)).toBe(true);
    await runtime.release(index.digest);
    await collected(layer);
  });

  test("without a hold loses the layers of a failed pull", async () => {
    const image = await pushImage(node.registry, "contract/lost:1", twoLayers("lost"));
    const [whole, half] = [image.layers[0]!, image.layers[1]!];
    node.proxy.set({ digest: half.digest, corruptAt: 1_500_000 });
    expect(classify((await failureOf(pull(through(image)))).message)).toBe("transfer");

    await poll("the layer is gone", async () => !(await isThere(whole.digest)) || undefined);
  });

  test("names the directory of the images' file system", async () => {
    const directory = (await runtime.imageDirectory()) ?? "";

    expect(directory.startsWith(node.containerd.root)).toBe(true);
    expect(existsSync(directory)).toBe(true);
  });
});
