// What containerd takes for an image, and creates a container from, is an image.
import { expect, test } from "vitest";
import { imageConfig, pushImage, pushIndex, type Descriptor } from "../rig/push.ts";
import { makeLayer } from "../rig/layers.ts";
import type { Registry } from "../rig/registry.ts";
import { describeEachLine } from "../rig/suite.ts";
import { agentFor } from "./support/agent.ts";
import { namesOn, pinPrefix, startNode } from "./support/node.ts";
import { imageOf } from "./support/status.ts";

const AMD64 = "linux/amd64";
const layers = (seed: string) => [{ bytes: 20_000, seed }];
/** A config that fits the layer, with these fields in place of the usual ones; one that is undefined is missing. */
const configWith = (seed: string, fields: object): object => ({
  ...imageConfig(AMD64, layers(seed).map(makeLayer)),
  ...fields,
});

type Make = (registry: Registry, name: string) => Promise<{ readonly reference: string }>;

const withConfig =
  (fields: object): Make =>
  (registry, name) =>
    pushImage(registry, name, { layers: layers(name), config: configWith(name, fields) });

/** The part in the same repository, under a tag of its own. */
const part = (name: string, kind: string): string => name.replace(/:1$/u, `:${kind}`);

const inIndex =
  (make: Make, platform?: string): Make =>
  async (registry, name) => {
    const { mediaType, digest, size } = (await make(registry, part(name, "child"))) as unknown as Descriptor;
    return pushIndex(registry, name, [
      { image: { mediaType, digest, size }, ...(platform !== undefined && { platform }) },
    ]);
  };

const plain: Make = withConfig({});

const beside: Make = async (registry, name) => {
  const image = await pushImage(registry, part(name, "child"), { layers: layers(name) });
  const arm = await pushImage(registry, part(name, "arm"), {
    layers: layers(`${name} arm`),
    platform: "linux/arm64",
  });
  const inner = await pushIndex(registry, part(name, "inner"), [{ image: arm }]);
  return pushIndex(registry, name, [{ image: inner, platform: "linux/arm64" }, { image }]);
};

const empty =
  (rootfs: object | undefined): Make =>
  (registry, name) =>
    pushImage(registry, name, { layers: [], config: configWith(name, { rootfs }) });

const IMAGES: Readonly<Record<string, Make>> = {
  "an index in an index": inIndex(inIndex(plain, AMD64), AMD64),
  "an index without a platform in an index": inIndex(inIndex(plain, AMD64)),
  "an index that holds a manifest and an index": beside,
  "a config without os": withConfig({ os: undefined }),
  "a config without architecture": withConfig({ architecture: undefined }),
  "a config with both empty": withConfig({ os: "", architecture: "" }),
  "an index that tells the platform, of a config that does not": inIndex(
    withConfig({ os: undefined, architecture: undefined }),
    AMD64,
  ),
  "a config with other words for the platform": withConfig({ os: "Linux", architecture: "x86_64" }),
  "an index with other words for the platform": inIndex(plain, "Linux/x86_64"),
  "an index that says otherwise than the config": inIndex(withConfig({ architecture: "arm64" }), AMD64),
  "a config whose diff_ids are null": empty({ type: "layers", diff_ids: null }),
  "a config without rootfs": empty(undefined),
};

describeEachLine("an image is", (line) => {
  test("whatever containerd creates a container from: pulled, named, pinned, and not asked for again", async () => {
    await using node = await startNode(line);
    const agent = agentFor(node.containerd);
    const made = await Promise.all(
      Object.entries(IMAGES).map(async ([what, make], nth) => {
        const { reference } = await make(node.registry, `odd/image-${nth}:1`);
        return { what, name: reference, retagAs: `registry.example.com/odd/image-${nth}:1` };
      }),
    );
    const properties = { images: made.map(({ name, retagAs }) => ({ name, retagAs })) };
    const { exitCode } = await agent.run(properties);
    const phases = Object.fromEntries(
      made.map(({ what, name }) => [what, imageOf(agent.status(), name).phase]),
    );

    expect(phases).toEqual(Object.fromEntries(made.map(({ what }) => [what, "pulled"])));
    expect(exitCode).toBe(0);
    const names = await namesOn(node.containerd);
    for (const [nth, { retagAs }] of made.entries()) {
      expect(names.get(retagAs)).toMatchObject({ pinned: node.pins, ...(node.pins && { ours: true }) });
      await node.containerd.ctr("containers", "create", retagAs, `odd-${nth}`, "/bin/sh");
    }
    expect(
      [...(await node.containerd.records()).keys()].filter((name) => name.startsWith(pinPrefix)),
    ).toHaveLength(node.pins ? made.length : 0);
    const asked = (await node.registry.requests()).length;
    expect((await agent.run(properties)).exitCode).toBe(0);
    expect((await node.registry.requests()).slice(asked)).toEqual([]);
  }, 240_000);

  test("not what names another platform outright, by its one manifest", async () => {
    await using node = await startNode(line);
    const agent = agentFor(node.containerd);
    const { reference } = await withConfig({ architecture: "arm64" })(node.registry, "odd/arm:1");

    expect((await agent.run({ images: [{ name: reference }] })).exitCode).toBe(1);
    expect(imageOf(agent.status(), reference)).toMatchObject({ attempts: 1, failure: { class: "platform" } });
  });

  test("under a name as long as crictl takes it", async () => {
    await using node = await startNode(line);
    const agent = agentFor(node.containerd);
    const { reference } = await pushImage(node.registry, `${"deep/".repeat(47)}project:1`, {
      layers: layers("long"),
    });
    const pulled = await node.containerd.crictl("pull", reference).then(
      () => 0,
      () => 1,
    );
    await node.containerd.crictl("rmi", reference).catch(() => {});

    expect((await agent.run({ images: [{ name: reference }] })).exitCode).toBe(pulled);
  });
});
