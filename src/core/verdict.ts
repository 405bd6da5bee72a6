// Verifies images. containerd creates containers from its records; the kubelet sees only what CRI lists.
import type { CriImage, Node } from "./node.ts";
import { namesOf, planImage, problemOf, type WantedImage } from "./plan.ts";
import type { Verified } from "./run-state.ts";

export type Verdict =
  | { readonly ok: true; readonly verified: Verified }
  | {
      readonly ok: false;
      readonly problem: string;
      /** CRI may not know of the change yet, so a later check may pass. */
      readonly mayPass: boolean;
    };

/** Whether containerd and CRI have the image whole, pinned, and under all its names. */
export function verdictOn(image: WantedImage, node: Node, pins: boolean): Verdict {
  const { judgement, names, pin } = planImage(image, node, pins);
  if (judgement.is !== "usable") return wrong(problemOf(judgement));
  const name = names.find(({ action }) => action !== "keep");
  if (name !== undefined)
    return wrong(name.action === "create" ? `${name.name} is gone` : `${name.name} ${name.why}`);
  if (pin === "create") return wrong("its pin is gone");
  const { id, target } = judgement;
  const { size = 0, pinned = false } = criImage(node, image.source.name, id) ?? {};
  const unknown = namesOf(image)
    .map((text) => criProblem(text, id, node, pin === "keep"))
    .find((text) => text !== undefined);
  if (unknown !== undefined) return { ok: false, problem: unknown, mayPass: true };
  return { ok: true, verified: { id, digest: target.digest, size, pinned } };
}

const wrong = (problem: string): Verdict => ({ ok: false, problem, mayPass: false });

const criImage = ({ cri }: Node, name: string, id: string): CriImage | undefined =>
  cri.get(name)?.find((image) => image.id === id);

function criProblem(name: string, id: string, node: Node, pinned: boolean): string | undefined {
  const [other] = node.cri.get(name) ?? [];
  if (other === undefined) return `CRI does not list ${name}`;
  const image = criImage(node, name, id);
  if (image === undefined) return `CRI takes ${name} for ${other.id}, expected ${id}`;
  return pinned && !image.pinned ? `CRI does not report ${name} as pinned` : undefined;
}
