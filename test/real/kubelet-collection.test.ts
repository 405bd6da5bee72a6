// The kubelet's garbage collection of images, under disk pressure: what it takes, what it leaves, what comes back.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Kubelet, PodSpec } from "../rig/kubelet.ts";
import type { PushedImage } from "../rig/push.ts";
import { describeReal } from "../rig/suite.ts";
import { kubeletLine, type KubeletNode, kubeletTools, startKubeletNode } from "./support/kubelet-node.ts";

describeReal(
  "the kubelet's garbage collection",
  kubeletLine,
  () => {
    let node: KubeletNode;
    let kubelet: Kubelet;
    let images: Record<
      "kept" | "loose" | "used" | "latest" | "always" | "stray" | "old" | "new",
      PushedImage
    >;

    const list = () => [
      { name: images.kept.reference, retagAs: "registry.k8s.io/kept:1" },
      { name: images.loose.reference, pin: false },
      { name: images.used.reference, pin: false },
      { name: images.latest.reference, pullPolicy: "IfNotPresent" },
      { name: images.always.reference },
      { name: images.old.reference },
    ];
    const runs = async (name: string, image: string, spec?: PodSpec): Promise<void> => {
      kubelet.startPod(name, image, spec);
      await kubelet.runs(name);
    };
    /** Those of the images that are on the node. */
    const here = async (): Promise<string[]> => {
      const ids = new Set((await node.containerd.images()).map(({ id }) => id));
      return Object.entries(images).flatMap(([name, { configDigest }]) =>
        ids.has(configDigest) ? [name] : [],
      );
    };
    const expectPulled = async (count: number): Promise<void> => {
      await node.import(list());
      expect(node.agent.status().totals).toMatchObject({ pulled: count, failed: 0 });
    };

    beforeAll(async () => {
      node = await startKubeletNode();
      const old = await node.push("team/moved:1", "old");
      images = {
        kept: await node.push("team/kept:1"),
        loose: await node.push("team/loose:1"),
        used: await node.push("team/used:1"),
        latest: await node.push("team/latest:latest"),
        always: await node.push("team/always:1"),
        stray: await node.push("team/stray:1"),
        old,
        new: old,
      };
      await node.import(list());
      images.new = await node.push("team/moved:1", "new");
      kubelet = await node.startKubelet();
    });
    afterAll(() => node[Symbol.asyncDispose]());

    test("takes what is not pinned and not in use, and nothing else, whoever pulled it since", async () => {
      await node.containerd.crictl("pull", images.stray.reference);
      await runs("used", images.used.reference, { pullPolicy: "IfNotPresent" });
      // Both pull by themselves, which takes every label from the names that they pull.
      node.proxy.clearRequests();
      await runs("latest", images.latest.reference);
      await runs("always", images.always.reference, { pullPolicy: "Always" });
      expect(node.proxy.requests().filter(({ path }) => /latest|always/u.test(path))).not.toEqual([]);
      await kubelet.removePod("latest");
      await kubelet.removePod("always");
      await node.proxy.down();
      await kubelet.collectImages();

      expect(await here()).toEqual(["kept", "used", "latest", "always", "old"]);
    });

    test("what it took comes back with the next run, and nothing more is pulled", async () => {
      await node.proxy.up();
      await expectPulled(1);
      expect(await here()).toEqual(["kept", "loose", "used", "latest", "always", "old"]);
    });

    test("takes the image that a pod pulled under a moved tag, which no run has seen, and leaves the pinned one", async () => {
      await runs("moved", images.new.reference, { pullPolicy: "Always" });
      await kubelet.removePod("moved");
      expect(await here()).toContain("new");
      await kubelet.collectImages();

      const left = await here();
      expect(left).toContain("old");
      expect(left).not.toContain("new");
    });

    test("leaves the new image once a run has pulled the moved tag, and takes the old one", async () => {
      await expectPulled(2);
      await kubelet.collectImages();

      const left = await here();
      expect(left).toContain("new");
      expect(left).not.toContain("old");
    });
  },
  kubeletTools,
);
