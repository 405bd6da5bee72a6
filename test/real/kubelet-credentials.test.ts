// KubeletEnsureSecretPulledImages: what the kubelet's own pulls, and its policies, do to imported names. It is on by default
// from Kubernetes 1.35 on. The operator's guide names these tests.
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { refusedNames } from "../../src/core/kubelet-records.ts";
import { parseReference, type Reference } from "../../src/core/reference.ts";
import { readKubeletRecords } from "../../src/run/kubelet-records.ts";
import type { Kubelet, KubeletConfig, PullPolicy } from "../rig/kubelet.ts";
import type { PushedImage } from "../rig/push.ts";
import { describeReal } from "../rig/suite.ts";
import { kubeletLine, type KubeletNode, kubeletTools, startKubeletNode } from "./support/kubelet-node.ts";

function referenceOf(name: string): Reference {
  const parsed = parseReference(name);
  if (typeof parsed === "string") throw new Error(parsed);
  return parsed;
}

describeReal(
  "the kubelet's credential checks",
  kubeletLine,
  () => {
    let node: KubeletNode;
    let kubelet: Kubelet;
    let preloaded: PushedImage;
    let raced: PushedImage;
    let pods = 0;

    const list = () => [
      { name: preloaded.reference, retagAs: ["registry.k8s.io/team/preloaded:1", "debian-base:v2"] },
      { name: raced.reference, retagAs: "registry.k8s.io/team/raced:1" },
    ];
    const start = (image: string, pullPolicy: PullPolicy): string => {
      const name = `pod-${(pods += 1)}`;
      kubelet.startPod(name, image, { pullPolicy });
      return name;
    };
    const expectRuns = async (image: string): Promise<void> => {
      const started = [start(image, "Never"), start(image, "IfNotPresent")];
      for (const name of started) expect(await kubelet.runs(name)).toMatchObject({ running: true });
    };
    /** Never is refused, and IfNotPresent asks the registry of the name, which does not have it or is off. */
    const expectRefused = async (image: string): Promise<void> => {
      const [never, asking] = [start(image, "Never"), start(image, "IfNotPresent")];
      expect(await kubelet.refused(never, "ErrImageNeverPull")).toContain(image);
      expect(await kubelet.refused(asking, "ErrImagePull")).toContain(image);
    };
    const recordsFolder = (kind: "pulled" | "pulling"): string =>
      path.join(kubelet.root, "image_manager", kind);
    const emptyRecords = (): void => {
      for (const folder of [recordsFolder("pulled"), recordsFolder("pulling")]) {
        for (const file of readdirSync(folder)) rmSync(path.join(folder, file));
      }
    };
    const policy = (imagePullCredentialsVerificationPolicy: string, further: KubeletConfig = {}) =>
      kubelet.restart({ imagePullCredentialsVerificationPolicy, ...further });

    beforeAll(async () => {
      node = await startKubeletNode();
      [preloaded, raced] = [await node.push("company/preloaded:1"), await node.push("company/raced:1")];
      await node.import([]);
      kubelet = await node.startKubelet();
    });
    afterAll(() => node[Symbol.asyncDispose]());

    describe("a pod that pulls at the same time as the import", () => {
      const pull = async (name: string) => {
        const image = await node.push(name);
        const { digest, size } = image.layers.at(-1)!;
        node.proxy.clearRequests();
        node.proxy.set({ digest, bytesPerSecond: size / 2 });
        return {
          image,
          pulling: () => node.proxy.served(digest, 1),
          import: () => node.import([{ name: image.reference, retagAs: `registry.k8s.io/${name}` }]),
          expectServedOnce: () => expect(node.proxy.bytesServedFor(digest)).toBe(size),
        };
      };

      test("when the import is first, each layer is served once", async () => {
        const { image, pulling, import: imported, expectServedOnce } = await pull("both/import-first:1");
        const importing = imported();
        await pulling();
        const pod = start(image.reference, "Always");
        await Promise.all([importing, kubelet.runs(pod)]);
        expectServedOnce();
      });

      test("when the pod is first, each layer is served once", async () => {
        const { image, pulling, import: imported, expectServedOnce } = await pull("both/pod-first:1");
        const pod = start(image.reference, "IfNotPresent");
        await pulling();
        await Promise.all([imported(), kubelet.runs(pod)]);
        expectServedOnce();
      });
    });

    describe("by default", () => {
      beforeAll(async () => {
        // The pod is faster than the import, and pulls without a secret.
        const pod = start(raced.reference, "IfNotPresent");
        await kubelet.runs(pod);
        await node.import(list());
      });

      test("pods run by every name of an image that the kubelet did not pull", async () => {
        await expectRuns(preloaded.reference);
        await expectRuns("registry.k8s.io/team/preloaded:1");
        await expectRuns("debian-base:v2");
      });

      test("one pull by the kubelet makes the image's further names unusable, and not the name that it pulled", async () => {
        await expectRuns(raced.reference);
        await expectRefused("registry.k8s.io/team/raced:1");
      });

      test("so does a pod with Always, although the image was imported before", async () => {
        const always = await node.push("company/always:1");
        await node.import([...list(), { name: always.reference, retagAs: "registry.k8s.io/team/always:1" }]);
        await expectRuns("registry.k8s.io/team/always:1");
        await kubelet.runs(start(always.reference, "Always"));
        await expectRefused("registry.k8s.io/team/always:1");
      });

      test("the kubelet's records tell which names are refused", async () => {
        const here = [
          { image: preloaded, names: ["registry.k8s.io/team/preloaded:1", "debian-base:v2"] },
          {
            image: raced,
            names: ["registry.k8s.io/team/raced:1", `registry.k8s.io/team/raced@${raced.digest}`],
          },
        ].flatMap(({ image, names }) =>
          [image.reference, ...names].map((name) => ({
            reference: referenceOf(name),
            id: image.configDigest,
          })),
        );
        const refused = refusedNames(await readKubeletRecords(kubelet.root, new Date()), here);
        expect(refused.otherName).toEqual([
          "registry.k8s.io/team/raced:1",
          `registry.k8s.io/team/raced@${raced.digest}`,
        ]);
      });

      test("run and status warn of the names that are refused, with the way out", async () => {
        const properties = { ...node.list(list()), kubelet: { root_dir: kubelet.root } };
        const run = await node.agent.run(properties);
        const status = await node.agent.run(properties, "status");
        const warning =
          /the kubelet will refuse to start pods that use registry\.k8s\.io\/team\/raced:1, .* under another name.* empty (?<pulled>\S+) and/u;
        expect([run.exitCode, status.exitCode]).toEqual([0, 0]);
        expect(node.agent.status().warnings).toEqual([expect.stringMatching(warning)]);
        expect(status.stderr).toMatch(warning);
        expect(warning.exec(status.stderr)?.groups?.["pulled"]).toBe(recordsFolder("pulled"));
      });

      test("this lasts through a restart of the kubelet and another run", async () => {
        await kubelet.restart();
        await node.import(list());
        await expectRefused("registry.k8s.io/team/raced:1");
      });

      test("with NeverVerify pods run by every name", async () => {
        await policy("NeverVerify");
        await expectRuns("registry.k8s.io/team/raced:1");
      });

      test("emptying the kubelet's records is not enough while it runs; while it is stopped it is", async () => {
        await kubelet.restart();
        emptyRecords();
        await expectRefused("registry.k8s.io/team/raced:1");
        await kubelet.restart({}, emptyRecords);
        await expectRuns("registry.k8s.io/team/raced:1");
      });
    });

    test("with AlwaysVerify no imported name is accepted", async () => {
      await node.proxy.down();
      await policy("AlwaysVerify");
      await expectRefused(preloaded.reference);
      await expectRefused("registry.k8s.io/team/preloaded:1");
    });

    describe("with an allowlist", () => {
      const entries = ["registry.k8s.io/team/*", "docker.io/library/debian-base"];
      beforeAll(() =>
        policy("NeverVerifyAllowlistedImages", { preloadedImagesVerificationAllowlist: entries }),
      );

      test("pods run by names below an entry that ends in /*, and by the repository of another entry", async () => {
        await expectRuns("registry.k8s.io/team/preloaded:1");
        await expectRuns("docker.io/library/debian-base:v2");
      });

      test("an entry matches names as pods write them: a short one does not match its full form", async () => {
        await expectRefused("debian-base:v2");
      });

      test("names that no entry matches are refused, although the kubelet did not pull their image", async () => {
        await expectRefused(preloaded.reference);
      });
    });

    describe("the kubelet does not start", () => {
      test("with an entry that has a tag", async () => {
        const entry = "registry.k8s.io/team/preloaded:1";
        await expect(
          policy("NeverVerifyAllowlistedImages", { preloadedImagesVerificationAllowlist: [entry] }),
        ).rejects.toThrow(/neither tag nor digest is accepted/u);
      });

      test("with an allowlist and no policy that uses it", async () => {
        await expect(
          kubelet.restart({ preloadedImagesVerificationAllowlist: ["registry.k8s.io/team/*"] }),
        ).rejects.toThrow(/preloadedImagesVerificationAllowlist/u);
      });
    });
  },
  kubeletTools,
);
