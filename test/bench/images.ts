import type { LayerSpec } from "../rig/layers.ts";
import type { ImageSpec } from "../rig/push.ts";

export interface BenchImage {
  name: string;
  spec: ImageSpec;
  /** Which of the case's registries holds it; the first by default. */
  registry?: number;
}

export const MB = 1_000_000;

export function images(count: number, name: string, layers: (index: number) => LayerSpec[]): BenchImage[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `${name}-${index}:v1`,
    spec: { layers: layers(index) },
  }));
}

/** Images that differ from each other in all their layers, each of which is one file. */
export function bigImages(count: number, name: string, layers: number, bytes: number): BenchImage[] {
  return images(count, name, (index) => bigLayers(layers, bytes, `${name}.${index}`));
}

export function bigLayers(count: number, bytes: number, seed: string): LayerSpec[] {
  return Array.from({ length: count }, (_, index) => ({ bytes, seed: `${seed}.${index}` }));
}

export function tiny(count: number, name: string): BenchImage[] {
  return bigImages(count, name, 1, 8_000);
}
