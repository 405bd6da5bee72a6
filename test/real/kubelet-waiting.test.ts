// Pods that come before their image, with the kubelet's own waits. The operator's guide names these tests.
import { readdirSync, rmSync, utimesSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Kubelet, PullPolicy } from "../rig/kubelet.ts";
import type { PushedImage } from "../rig/push.ts";
import { describeReal } from "../rig/suite.ts";
import { kubeletLine, type KubeletNode, kubeletTools, startKubeletNode } from "./support/kubelet-node.ts";

/** The kubelet's default. The rig's own is shorter, and would hide how long a pod waits. */
const syncFrequency = "1m";

describeReal(
  "pods that come before their image",
  kubeletLine,
  () => {
    let node: KubeletNode;
    let kubelet: Kubelet;
    let pods = 0;

    const start = (image: string, pullPolicy: PullPolicy): string => {
      const name = `pod-${(pods += 1)}`;
      kubelet.startPod(name, image, { pullPolicy });
      return name;
    };

    beforeAll(async () => {
      node = await startKubeletNode();
      await node.import([]);
      kubelet = await node.startKubelet({ syncFrequency });
    });
    afterAll(() => node[Symbol.asyncDispose]());

    describe("when the registry of the name that they use refuses at once", () => {
      test("pods with IfNotPresent and Never run some seconds after the import, although they have waited", async () => {
        const image = await node.push("company/early:1");
        const name = "registry.k8s.io/early/app:1";
        const waiting = [start(name, "IfNotPresent"), start(name, "Never")];
        await kubelet.refused(waiting[0]!, "ErrImagePull");
        await kubelet.refused(waiting[1]!, "ErrImageNeverPull");
        // Long enough that the kubelet's delay between two pulls is longer than what the pods then take.
        await delay(30_000);

        await node.import([{ name: image.reference, retagAs: name }]);
        for (const pod of waiting) expect(await kubelet.runsWithin(pod, 20)).toMatchObject({ running: true });
      }, 240_000);
    });

    describe("when the registry of the name that they use does not answer", () => {
      const name = "registry.k8s.io/silent/app:1";
      let image: PushedImage;
      const folder = (kind: string): string => path.join(kubelet.root, "image_manager", kind);
      const properties = () => ({
        ...node.list([{ name: image.reference, retagAs: name }]),
        kubelet: { root_dir: kubelet.root },
      });
      /** Each pull hangs until containerd gives it up, and after a pause the kubelet begins another. */
      const untilItPulls = () =>
        expect.poll(() => readdirSync(folder("pulling")), { timeout: 60_000 }).toHaveLength(1);
      /** Makes the intents look older than the minute that the agent gives a pull. */
      const agePulls = (): void => {
        const before = new Date(Date.now() - 120_000);
        for (const file of readdirSync(folder("pulling")))
          utimesSync(path.join(folder("pulling"), file), before, before);
      };
      const warning = new RegExp(
        `the kubelet will refuse to start pods that use .*${name}.*has not finished.*stop the kubelet`,
        "u",
      );

      beforeAll(async () => {
        image = await node.push("company/silent:1");
        node.proxy.set({ path: /silent\/app/u, hang: true });
      });

      test("while the kubelet's pull hangs, every pod with that name is refused, although the image is here", async () => {
        start(name, "IfNotPresent");
        await untilItPulls();
        await node.import([{ name: image.reference, retagAs: name }]);
        expect(await kubelet.refused(start(name, "Never"), "ErrImageNeverPull")).toContain(name);
        await kubelet.runs(start(image.reference, "Never"));
      });

      test("status tells of a pull that the kubelet did not finish", async () => {
        await untilItPulls();
        expect((await node.agent.run(properties(), "status")).stderr).not.toMatch(warning);
        agePulls();
        const status = await node.agent.run(properties(), "status");
        expect(status.stderr).toMatch(warning);
      });

      test("once the kubelet has ended in such a pull, every name of the image is refused, and run and status tell so", async () => {
        await untilItPulls();
        await kubelet.restart();
        await kubelet.refused(start(image.reference, "Never"), "ErrImageNeverPull");
        await kubelet.refused(start(name, "Never"), "ErrImageNeverPull");
        const run = await node.agent.run(properties());
        const status = await node.agent.run(properties(), "status");
        expect(run.exitCode, run.stderr).toBe(0);
        expect(node.agent.status().warnings).toEqual([expect.stringMatching(warning)]);
        expect(status.stderr).toMatch(warning);
      });

      test("with the kubelet stopped, emptying pulled and pulling lets all pods run", async () => {
        await kubelet.restart({}, () => {
          for (const kind of [folder("pulled"), folder("pulling")]) {
            for (const file of readdirSync(kind)) rmSync(path.join(kind, file));
          }
        });
        for (const pod of [
          start(image.reference, "Never"),
          start(name, "Never"),
          start(name, "IfNotPresent"),
        ]) {
          expect(await kubelet.runs(pod)).toMatchObject({ running: true });
        }
      });
    });
  },
  kubeletTools,
);
