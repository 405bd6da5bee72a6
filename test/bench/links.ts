import type { BenchCase } from "./case.ts";
import { bigImages, bigLayers, images, MB } from "./images.ts";

/** The ways to a registry that operators have: what decides is another thing on each. */
export const links: readonly BenchCase[] = [
  {
    name: "link-fast",
    shows: "12 images of 2 layers of 500 small files, no throttle",
    images: images(12, "fast", (index) =>
      [0, 1].map((layer) => ({ files: 500, fileBytes: 2000, seed: `fast.${index}.${layer}` })),
    ),
  },
  {
    name: "link-wan",
    shows: "12 images of 2 layers of 8 MB, 2 MB/s for each connection",
    images: bigImages(12, "wan", 2, 8 * MB),
    perConnection: 2 * MB,
  },
  {
    name: "link-latency",
    shows: "40 images of 2 layers of 100 kB from a registry that answers after 100 ms",
    images: bigImages(40, "latency", 2, 100_000),
    latencyMs: 100,
  },
  {
    name: "link-shared",
    shows: "16 images of 2 layers of 4 MB, 20 MB/s for the whole node",
    images: bigImages(16, "shared", 2, 4 * MB),
    shared: 20 * MB,
  },
  {
    name: "link-mixed",
    shows:
      "15 images of 2 layers of 500 kB, in their midst one of 3 layers of 27 MB, 4 MB/s for each connection",
    images: bigImages(15, "mixed", 2, 500_000).toSpliced(7, 0, {
      name: "mixed-big:v1",
      spec: { layers: bigLayers(3, 27 * MB, "mixed.big") },
    }),
    perConnection: 4 * MB,
  },
  {
    name: "link-429",
    shows:
      "16 images of 2 layers of 3 MB, 4 MB/s for each connection, from a registry that refuses a seventh request at once",
    images: bigImages(16, "limited", 2, 3 * MB),
    perConnection: 4 * MB,
    mostAtOnce: 6,
  },
];
