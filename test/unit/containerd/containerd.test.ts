// That what the agent calls is put together as it is configured.
import type { Options } from "execa";
import { expect, onTestFinished, test, vi } from "vitest";
import { realContainerd } from "../../../src/containerd/containerd.ts";
import type { Config } from "../../../src/config/config.ts";
import { temporaryFolder } from "../folder.ts";
import { credential } from "../samples.ts";

const folder = temporaryFolder();
const LIVE = new AbortController().signal;
/** A tool that fails, and says how it was called. */
const tool = (name: string): string =>
  folder.write(name, '#!/bin/sh\necho "$0 $* hunter2" >&2\nexit 1\n', 0o755);
const [crictl, ctr, socket] = [tool("crictl"), tool("ctr"), `${folder.path}/none.sock`];
const config = {
  containerd: { crictl, ctr, socket },
  credentials: [credential("robot", "hunter2")],
  allow_credentials_in_argv: false,
} as unknown as Config;

test("the tools and the socket are those of the configuration, and what the tools say is masked", async () => {
  using containerd = realContainerd(config, LIVE);
  await expect(containerd.pull("a.b/c:1", { signal: LIVE })).rejects.toThrow(
    `${crictl} --config=/dev/null --runtime-endpoint=unix://${socket} --image-endpoint=unix://${socket} --timeout=30s pull a.b/c:1 [redacted]`,
  );
  await expect(containerd.tag("a.b/c:1", ["x:1"])).rejects.toThrow(
    `${ctr} --address=${socket} --namespace=k8s.io --timeout=30s images tag --force a.b/c:1 x:1 [redacted]`,
  );
  await expect(containerd.records()).rejects.toThrow(`${socket}: it does not exist`);
});

test("all of them end with one signal", async () => {
  using containerd = realContainerd(config, AbortSignal.abort());
  await expect(containerd.pull("a.b/c:1", { signal: LIVE })).rejects.toMatchObject({ name: "CommandError" });
  await expect(containerd.records()).rejects.toThrow("was not waited for");
});

test("a file system is written out by coreutils' sync, for which a disk has time", async () => {
  const { execa } = await vi.importActual<typeof import("execa")>("execa");
  const calls: unknown[] = [];
  vi.doMock("execa", () => ({
    execa: (_file: string, args: readonly string[], { timeout }: Options) => {
      calls.push([args.slice(-3), timeout]);
      return execa("/bin/true");
    },
  }));
  vi.resetModules();
  onTestFinished(() => {
    vi.doUnmock("execa");
    vi.resetModules();
  });
  const fresh = await import("../../../src/containerd/containerd.ts");
  using containerd = fresh.realContainerd(config, LIVE);
  await containerd.sync("/some/where");
  expect(calls).toEqual([[["sync", "-f", "/some/where"], 300_000]]);
});
