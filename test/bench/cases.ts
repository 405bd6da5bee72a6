import { type LayerSpec, makeLayer } from "../rig/layers.ts";
import type { Rule } from "../rig/fault-rules.ts";
import type { BenchCase } from "./case.ts";
import { bigLayers, images, MB, tiny } from "./images.ts";
import { links } from "./links.ts";

/** With containerd's defaults, and with its limit lifted where that is one of the node. */
function cold(name: string, what: string, layerMB: number): BenchCase[] {
  const usual: BenchCase = {
    name,
    shows: `${what}4 images of 6 layers of ${layerMB} MB, 10 MB/s for each connection`,
    images: images(4, name, (index) => bigLayers(6, layerMB * MB, `${name}.${index}`)),
    perConnection: 10 * MB,
  };
  const lifted = {
    name: `${name}-lifted`,
    shows: "the same, with max_concurrent_downloads = 12 where that is a limit of the node",
    nodeDownloads: 12,
  };
  return [usual, { ...usual, ...lifted }];
}

// containerd resumes a transfer by itself until three resumptions in a row bring nothing: only then does a pull fail.
function brokenOnce(layer: LayerSpec, after: number): Rule[] {
  const { digest } = makeLayer(layer);
  return [
    { digest, dropAfter: after, times: 1 },
    { digest, dropAfter: 0, skip: 1, times: 3 },
  ];
}

const usual: readonly BenchCase[] = [
  ...cold("cold-4", "", 10),
  ...cold("cold-4-large", "an application's usual size: ", 40),
  {
    name: "big-last",
    shows: "12 images of 2 MB, then one of 3 layers of 25 MB, 10 MB/s for each connection",
    images: [
      ...images(12, "small", (index) => bigLayers(1, 2 * MB, `small.${index}`)),
      { name: "big:v1", spec: { layers: bigLayers(3, 25 * MB, "big") } },
    ],
    perConnection: 10 * MB,
    sizesKnown: true,
  },
  {
    name: "shared-base",
    shows: "6 images, each of 5 MB on the same base of 2 layers of 20 MB, 10 MB/s for each connection",
    images: images(6, "shared", (index) => [
      ...bigLayers(2, 20 * MB, "base"),
      ...bigLayers(1, 5 * MB, `shared.${index}`),
    ]),
    perConnection: 10 * MB,
  },
  {
    name: "unpack",
    shows: "4 images of 3 layers of 3,000 small files, no throttle",
    images: images(4, "unpack", (index) =>
      [0, 1, 2].map((layer) => ({ files: 3000, fileBytes: 2000, seed: `unpack.${index}.${layer}` })),
    ),
  },
  ...[100, 1000].map((count) => ({
    name: `present-${count}`,
    shows: `a rerun with ${count} images that are all there`,
    images: tiny(count, `present${count}`),
    rerun: true,
    retag: false,
  })),
  ...[1, 10, 100, 1000].map((count) => ({
    name: `count-${count}`,
    shows: `${count} tiny image${count === 1 ? "" : "s"}, no throttle`,
    images: tiny(count, `count${count}`),
  })),
  {
    name: "latency-100",
    shows: "20 images of 2 layers of 100 kB from a registry that answers after 100 ms",
    images: images(20, "far", (index) => bigLayers(2, 100_000, `far.${index}`)),
    latencyMs: 100,
  },
  {
    name: "broken-layer",
    shows:
      "4 images of 6 layers of 5 MB, 5 MB/s for each connection; one layer breaks off, and so do three resumptions",
    images: images(4, "broken", (index) => bigLayers(6, 5 * MB, `broken.${index}`)),
    perConnection: 5 * MB,
    faults: () => brokenOnce({ bytes: 5 * MB, seed: "broken.1.3" }, 2_500_000),
  },
  {
    name: "dead-registry",
    shows: "9 images of 2 MB from three registries, one of which refuses connections",
    images: images(9, "three", (index) => bigLayers(2, MB, `three.${index}`)).map((image, index) => ({
      ...image,
      registry: index % 3,
    })),
    registries: 3,
    dead: 1,
  },
];

export const cases: readonly BenchCase[] = [...usual, ...links];

export function casesNamed(names: readonly string[]): readonly BenchCase[] {
  return names.map((name) => {
    const found = cases.find((known) => known.name === name);
    if (found === undefined) {
      throw new Error(`no case "${name}"; there are ${cases.map((known) => known.name).join(", ")}`);
    }
    return found;
  });
}
