// Pods as judges of an import: with the registry off, a pod starts or it does not.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bashPostStart } from "../bosh/bash-release.ts";
import type { Kubelet, PullPolicy } from "../rig/kubelet.ts";
import type { PushedImage } from "../rig/push.ts";
import { describeReal } from "../rig/suite.ts";
import type { Ended } from "./support/agent.ts";
import { kubeletLine, type KubeletNode, kubeletTools, startKubeletNode } from "./support/kubelet-node.ts";
import { pinPrefix } from "./support/node.ts";

const policies: readonly PullPolicy[] = ["Never", "IfNotPresent"];

/** How a pod may ask for an image that was imported as `own`, with these further names. */
const further = ["registry.k8s.io/app:1", "debian-base:v2"];
/** With a host that sorts behind the pin's. */
const hosted = "registry.example.com/team/hosted:1";
const spellings: Record<string, (image: PushedImage) => string> = {
  "its own name": ({ reference }) => reference,
  "its own name by digest": ({ reference, digest }) => `${reference.replace(/:[^:]+$/u, "")}@${digest}`,
  "its own tag and digest": ({ reference, digest }) => `${reference}@${digest}`,
  "the further name": () => "registry.k8s.io/app:1",
  "the further name by digest": ({ digest }) => `registry.k8s.io/app@${digest}`,
  "the further name's tag and digest": ({ digest }) => `registry.k8s.io/app:1@${digest}`,
  "the short further name": () => "debian-base:v2",
  "the short further name in full": () => "docker.io/library/debian-base:v2",
  "the short further name by digest": ({ digest }) => `debian-base@${digest}`,
};

describeReal(
  "pods on an imported node, with the registry off",
  kubeletLine,
  () => {
    let node: KubeletNode;
    let kubelet: Kubelet;
    let app: PushedImage;
    let old: PushedImage;
    let hostedDigest: string;
    let upgrade: Ended;
    let pods = 0;

    beforeAll(async () => {
      node = await startKubeletNode();
      app = await node.push("team/app:1");
      old = await node.push("team/old:1");
      const { crictlPath: crictl, ctrPath: ctr, socket } = node.containerd;
      await node.containerd.useHost("registry.example.com", { server: `http://${node.proxy.host}` });
      const pushed = await node.push("team/hosted:1");
      hostedDigest = pushed.digest;
      const imported = [{ name: app.reference, retagAs: further }, { name: hosted }];
      await node.import(imported);
      await bashPostStart([{ name: old.reference, retagAs: "old-base:v2" }], { crictl, ctr, socket });
      upgrade = await node.agent.run(
        node.list([...imported, { name: old.reference, retagAs: "old-base:v2" }]),
      );
      await node.proxy.down();
      kubelet = await node.startKubelet();
    });
    afterAll(() => node[Symbol.asyncDispose]());

    const start = (image: string, pullPolicy: PullPolicy, script?: string): string => {
      const name = `pod-${(pods += 1)}`;
      kubelet.startPod(name, image, { pullPolicy, ...(script !== undefined && { script }) });
      return name;
    };

    describe.each(policies)("imagePullPolicy %s", (policy) => {
      test.each(Object.entries(spellings))("a pod runs by %s", async (_, spelling) => {
        const pod = await kubelet.runs(start(spelling(app), policy));
        expect(pod.imageId).toMatch(new RegExp(`@${app.digest}$`, "u"));
      });

      test.each(["old-base:v2", "docker.io/library/old-base:v2"])(
        "after the upgrade from the bash release a pod runs by %s",
        async (name) => {
          const pod = await kubelet.runs(start(name, policy));
          expect(pod.imageId).toMatch(new RegExp(`@${old.digest}$`, "u"));
        },
      );
    });

    test("the upgrade ends well, and leaves the record of the bash release on the disk", async () => {
      expect(upgrade.exitCode, upgrade.stderr).toBe(0);
      expect([...(await node.containerd.records()).keys()]).toContain("old-base:v2");
    });

    test("a pod does not run by a name that is not there", async () => {
      const never = await kubelet.refused(start("registry.k8s.io/app:2", "Never"), "ErrImageNeverPull");
      const away = `${node.proxy.host}/team/away:1`;
      const pulling = await kubelet.refused(start(away, "IfNotPresent"), "ErrImagePull");
      expect(never).toContain('"registry.k8s.io/app:2" is not present');
      expect(pulling).toContain(away);
    });

    test("the imageID of a pod is the first name by digest, which is the pin's where the registry sorts behind it", async () => {
      const { imageId } = await kubelet.runs(start(hosted, "Never"));
      expect(imageId).toBe(`${pinPrefix}${hostedDigest}`);
    });

    test("sandboxes run from the image that the import brought", async () => {
      await kubelet.runs(start(app.reference, "Never"));
      const [sandbox = ""] = (await node.containerd.crictl("pods", "--quiet")).split("\n");
      const { info } = JSON.parse(await node.containerd.crictl("inspectp", sandbox)) as {
        info: { image: string };
      };
      expect(info.image).toBe("registry.k8s.io/pause:3.10");
    });

    test("a pod's output is what its script printed", async () => {
      const name = start("registry.k8s.io/app:1", "Never", "echo hello from the image");
      await kubelet.runs(name);
      expect(await kubelet.output(name)).toBe("hello from the image\n");
    });
  },
  kubeletTools,
);
