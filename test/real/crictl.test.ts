// What depends on crictl's version: how it takes a login, what it says of a full disk, and how it ends when it is stopped.
import { mkdirSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { startFaultProxy } from "../rig/fault-proxy.ts";
import { temporaryFolder } from "../rig/folder.ts";
import { pushImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { run } from "../rig/run.ts";
import { describeEachLine } from "../rig/suite.ts";
import { crictlVersions } from "../rig/tools.ts";
import { during } from "./faults-support.ts";
import { type Agent, agentFor } from "./support/agent.ts";
import { authOf, clientsOf, login } from "./support/node.ts";
import { imageOf } from "./support/status.ts";

describe.each(crictlVersions)("crictl %s", (crictl) => {
  describeEachLine(
    "on a node",
    (line) => {
      let cleanup: AsyncDisposableStack;
      let registry: Registry;
      let containerd: Containerd;
      let agent: Agent;

      beforeEach(async () => {
        cleanup = new AsyncDisposableStack();
        const folder = cleanup.use(temporaryFolder());
        const root = path.join(folder.path, "disk");
        mkdirSync(root);
        await run("mount", ["-t", "tmpfs", "-o", "size=48m", "tmpfs", root]);
        registry = cleanup.use(await startRegistry());
        containerd = cleanup.use(await startContainerd(line, { root, crictl }));
        agent = agentFor(containerd);
      });
      afterEach(() => cleanup.disposeAsync());

      const lockedWithApp = async (): Promise<Registry> => {
        const locked = cleanup.use(await startRegistry({ auth: login }));
        await pushImage(locked, "team/app:1", { layers: [{ bytes: 40_000, seed: "app" }] });
        return locked;
      };

      test("takes a login from its environment, and shows it to nobody", async () => {
        const proxy = cleanup.use(await startFaultProxy(await lockedWithApp()));
        // Long enough to be seen.
        proxy.set({ latencyMs: 200 });
        await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
        const [name, auth] = [`${proxy.host}/team/app:1`, authOf(login)];
        const seen = new Set<string>();
        const ended = await during(agent.start({ images: [{ name, auth }] }).ended, () => {
          for (const client of clientsOf(containerd)) seen.add(client);
        });

        expect(ended.exitCode).toBe(0);
        expect(imageOf(agent.status(), name).phase).toBe("pulled");
        expect([...seen].filter((client) => client.includes(" pull "))).not.toEqual([]);
        expect([...seen, ended.stdout, ended.stderr].filter((text) => text.includes(auth))).toEqual([]);
      });

      test("is refused with a wrong login once", async () => {
        const name = `${(await lockedWithApp()).host}/team/app:1`;
        const auth = authOf({ user: "robot", password: "status" });
        const ended = await agent.run({ images: [{ name, auth }] });

        expect(ended.exitCode).toBe(1);
        expect(imageOf(agent.status(), name)).toMatchObject({
          attempts: 1,
          failure: { class: "auth" },
        });
      });

      test("tells of a full disk, which ends the run", async () => {
        const { reference } = await pushImage(registry, "team/large:1", {
          layers: [{ bytes: 60_000_000, seed: "large" }],
        });
        const ended = await agent.run({ images: [{ name: reference }] });

        expect(ended.exitCode).toBe(1);
        expect(imageOf(agent.status(), reference)).toMatchObject({
          attempts: 1,
          failure: { class: "disk" },
        });
      });

      test("ends with the run that is stopped, in the middle of a layer", async () => {
        const proxy = cleanup.use(await startFaultProxy(registry));
        const image = await pushImage(registry, "team/slow:1", {
          layers: [{ bytes: 600_000, seed: "slow" }],
        });
        const digest = image.layers[0]?.digest ?? "";
        await containerd.useHost(proxy.host, { server: `http://${proxy.host}` });
        proxy.set({ digest, stallAfter: 200_000 });
        const name = `${proxy.host}/team/slow:1`;
        const running = agent.start({ images: [{ name }] });
        await proxy.served(digest, 200_000);
        running.kill("SIGTERM");

        expect((await running.ended).exitCode).toBe(143);
        expect(imageOf(agent.status(), name)).toMatchObject({ failure: { class: "cancelled" } });
        expect(clientsOf(containerd)).toEqual([]);
      });
    },
    { among: ["1.7", "2"], crictl },
  );
});
