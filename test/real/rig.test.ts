import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { type FaultProxy, startFaultProxy } from "../rig/fault-proxy.ts";
import { mountsBelow } from "../rig/folder.ts";
import { poll } from "../rig/poll.ts";
import { processesNaming } from "../rig/processes.ts";
import { deleteBlob, deleteManifest, type PushedImage, pushImage, pushIndex, tagImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { describeEveryLine } from "../rig/suite.ts";
import type { ContainerdLine } from "../rig/tools.ts";

const versions: Record<ContainerdLine, string> = {
  "1.6.20": "1.6.20",
  "1.6": "1.6.36",
  "1.7": "1.7.35",
  "2.3": "2.3.7",
  "2": "2.4.2",
};
const layerBytes = 3_000_000;

describeEveryLine("the rig", (line) => {
  let containerd: Containerd;
  let registry: Registry;
  let proxy: FaultProxy;

  beforeAll(async () => {
    [containerd, registry] = await Promise.all([startContainerd(line), startRegistry()]);
    proxy = await startFaultProxy(registry);
  });
  afterEach(() => {
    proxy.clear();
    proxy.clearRequests();
  });
  afterAll(async () => {
    await Promise.all([containerd.stop(), proxy.stop(), registry.stop()]);
  });

  // A name of its own each time: containerd keeps what an earlier pull left.
  const push = (name: string): Promise<PushedImage> =>
    pushImage(registry, `rig/${name}:1`, { layers: [{ bytes: layerBytes, seed: name }] });
  const through = (image: PushedImage): string => `${proxy.host}/${image.repository}:${image.tag}`;
  const pull = (image: PushedImage): Promise<string> => containerd.crictl("pull", through(image));
  const layerOf = (image: PushedImage): { digest: string; size: number } => image.layers[0]!;
  const layerRequests = (image: PushedImage) =>
    proxy.requests().filter((request) => request.digest === layerOf(image).digest);

  test("runs the version that the line stands for", async () => {
    expect(containerd.version).toContain(versions[line]);
    expect(await containerd.ctr("version")).toContain(versions[line]);
    expect(await containerd.crictl("--version")).toContain("1.30.0");
  });

  test("fetches nothing on its own", async () => {
    expect(await containerd.images()).toEqual([]);
  });

  test("pulls what was pushed, and counts every byte of it", async () => {
    const image = await pushImage(registry, "rig/whole:1", {
      layers: [
        { bytes: layerBytes, seed: "whole" },
        { files: 200, fileBytes: 100, seed: "whole" },
        { busybox: true },
      ],
    });
    await pull(image);

    const listed = (await containerd.images()).find(({ id }) => id === image.configDigest);
    expect(listed?.repoTags).toEqual([through(image)]);
    expect(listed?.repoDigests).toEqual([`${proxy.host}/${image.repository}@${image.digest}`]);
    expect(listed?.pinned).toBe(false);
    for (const { digest, size } of image.layers) expect(proxy.bytesServedFor(digest)).toBe(size);
    const blobs = (await registry.requests()).filter(
      (request) => request.method === "GET" && request.path.includes("/blobs/"),
    );
    expect(blobs).toHaveLength(image.layers.length + 1);
  });

  test("unpacks a layer of many files as it was packed", async () => {
    const image = await pushImage(registry, "rig/files:1", {
      layers: [{ files: 50, fileBytes: 100, seed: "f" }, { busybox: true }],
    });
    await pull(image);
    await using mounted = await mountImage(containerd, through(image));

    expect(await mounted.list("files-f")).toHaveLength(50);
    expect(await mounted.list("bin")).toContain("busybox");
  });

  test("makes the same image from the same seed", async () => {
    const [first, again] = [await push("same"), await push("same")];

    expect(again.digest).toBe(first.digest);
    expect((await push("other")).digest).not.toBe(first.digest);
  });

  test("reads the labels back that ctr sets", async () => {
    const image = await push("labels");
    await pull(image);
    await containerd.ctr("images", "label", through(image), "rig.test/one=1", "rig.test/two=2");

    expect((await containerd.records()).get(through(image))?.labels).toMatchObject({
      "io.cri-containerd.image": "managed",
      "rig.test/one": "1",
      "rig.test/two": "2",
    });
  });

  test("pushes docker's media types, and an index from which containerd takes its own platform", async () => {
    const spec = (platform: string) =>
      ({ layers: [{ bytes: 1000, seed: platform }], platform, mediaTypes: "docker" }) as const;
    const amd64 = await pushImage(registry, "rig/multi:amd64", spec("linux/amd64"));
    const arm64 = await pushImage(registry, "rig/multi:arm64", spec("linux/arm64/v8"));
    await pushIndex(registry, "rig/multi:1", [{ image: amd64 }, { image: arm64 }], "docker");
    await containerd.crictl("pull", `${proxy.host}/rig/multi:1`);

    expect(proxy.bytesServedFor(layerOf(amd64).digest)).toBe(layerOf(amd64).size);
    expect(proxy.bytesServedFor(layerOf(arm64).digest)).toBe(0);
  });

  test("moves a tag, and takes away a tag or a blob", async () => {
    const [image, gone] = [await push("moving"), await push("gone")];
    await tagImage(registry, image, "2");
    await containerd.crictl("pull", `${proxy.host}/rig/moving:2`);
    await deleteManifest(registry, "rig/moving", "1");
    await deleteBlob(registry, "rig/gone", layerOf(gone).digest);

    await expect(pull(image)).rejects.toThrow(/not found/);
    await expect(pull(gone)).rejects.toThrow(/not found/);
  });

  test("throttles each transfer", async () => {
    const image = await push("throttled");
    proxy.set({ digest: layerOf(image).digest, bytesPerSecond: 2_000_000 });
    const started = performance.now();
    await pull(image);

    const seconds = (performance.now() - started) / 1000;
    expect(seconds).toBeGreaterThan(1.4);
    expect(seconds).toBeLessThan(6);
  });

  test("throttles several transfers together", async () => {
    const [first, second] = [await push("shared-a"), await push("shared-b")];
    proxy.set({ path: /blobs/, sharedBytesPerSecond: 3_000_000 });
    const started = performance.now();
    await Promise.all([pull(first), pull(second)]);

    expect((performance.now() - started) / 1000).toBeGreaterThan(1.8);
  });

  test("stalls after so many bytes, and holds the connection until the client leaves", async () => {
    const image = await push("stalled");
    const { digest } = layerOf(image);
    proxy.set({ digest, stallAfter: 1_000_000 });
    const client = spawn(containerd.crictlPath, [...containerd.crictlArgs, "pull", through(image)]);
    await proxy.served(digest, 1_000_000);
    await delay(300); // Long enough for more to arrive, if more were sent.

    expect(layerRequests(image)).toMatchObject([{ bytes: 1_000_000, outcome: "open", fault: "stall" }]);
    client.kill("SIGKILL");
    await poll("containerd leaves", () => layerRequests(image)[0]?.outcome === "aborted" || undefined);
  });

  test("drops a connection in the middle, and serves the rest to a range request", async () => {
    const image = await push("dropped");
    const { digest, size } = layerOf(image);
    proxy.set({ digest, dropAfter: 1_000_000, times: 1 });
    await pull(image).catch(() => pull(image));

    expect(layerRequests(image)).toMatchObject([
      { status: 200, bytes: 1_000_000, outcome: "aborted", fault: "drop" },
      {
        status: 206,
        bytes: size - 1_000_000,
        outcome: "complete",
        range: expect.stringContaining("bytes=1000000-"),
      },
    ]);
    expect(proxy.bytesServedFor(digest)).toBe(size);
  });

  test("resets a connection in the middle", async () => {
    const image = await push("reset");
    proxy.set({ digest: layerOf(image).digest, resetAfter: 1_000_000 });

    await expect(pull(image)).rejects.toThrow(/connection reset by peer/);
  });

  test("sends a body that is too short, or not what was asked for", async () => {
    const [short, wrong] = [await push("truncated"), await push("corrupted")];
    proxy.set(
      { digest: layerOf(short).digest, truncateAfter: 1_000_000 },
      { digest: layerOf(wrong).digest, corruptAt: 1_000_000 },
    );

    await expect(pull(short)).rejects.toThrow(/unexpected EOF|failed size validation/);
    await expect(pull(wrong)).rejects.toThrow(/unexpected commit digest/);
  });

  test.for([401, 403, 404, 429, 500, 502, 503, 504])("answers %i in the registry's place", async (status) => {
    const image = await push(`status-${status}`);
    proxy.set({ path: /manifests/, status, retryAfter: "1" });

    await expect(pull(image)).rejects.toThrow();
    expect(proxy.requests()).toContainEqual(expect.objectContaining({ status, fault: "status" }));
    expect(proxy.bytesServed()).toBe(0);
  });

  test("answers 429 in the registry's place while too many requests are open", async () => {
    const image = await push("crowded");
    const url = `http://${proxy.host}/v2/rig/crowded/blobs/${layerOf(image).digest}`;
    proxy.set({ mostAtOnce: 2, sharedBytesPerSecond: 3_000_000 });
    const [first, second] = await Promise.all([fetch(url), fetch(url)]);
    const third = await fetch(url);

    expect([first.status, second.status, third.status]).toEqual([200, 200, 429]);
    expect(await third.json()).toMatchObject({ errors: [{ code: "TOOMANYREQUESTS" }] });
    await Promise.all([first.arrayBuffer(), second.arrayBuffer()]);
    await poll("they end", () => proxy.requests().every(({ outcome }) => outcome !== "open") || undefined);
    expect((await fetch(url, { method: "HEAD" })).status).toBe(200);
  });

  test("applies a rule to the requests it is meant for only", async () => {
    const image = await push("counted");
    const url = `http://${proxy.host}/v2/rig/counted/blobs/${layerOf(image).digest}`;
    const ask = async (method: string): Promise<number> => (await fetch(url, { method })).status;
    proxy.set({ path: /counted/, method: "HEAD", status: 503, skip: 1, times: 1 });

    expect([await ask("GET"), await ask("GET")]).toEqual([200, 200]);
    expect([await ask("HEAD"), await ask("HEAD"), await ask("HEAD")]).toEqual([200, 503, 200]);
    await pull(image);
  });

  test("never answers, or late", async () => {
    const [silent, late] = [await push("silent"), await push("late")];
    proxy.set({ path: /silent/, hang: true }, { path: /late.*manifests/, latencyMs: 500 });
    const client = execFile(containerd.crictlPath, [...containerd.crictlArgs, "pull", through(silent)]);
    const started = performance.now();
    await pull(late);

    expect(performance.now() - started).toBeGreaterThan(500);
    expect(proxy.requests()).toContainEqual(
      expect.objectContaining({ path: expect.stringContaining("silent"), status: 0, outcome: "open" }),
    );
    client.kill("SIGKILL");
  });

  test("is gone during an outage, and back after it", async () => {
    const image = await push("outage");
    await proxy.down();
    await expect(pull(image)).rejects.toThrow(/connection refused/);
    await proxy.up();
    await proxy.down("destroyed");
    await expect(pull(image)).rejects.toThrow(/EOF|connection reset|closed idle connection/);
    await proxy.up();

    await pull(image);
  });

  test("forwards a large layer faster than the tests need", async () => {
    const bytes = 60_000_000;
    const image = await pushImage(registry, "rig/large:1", { layers: [{ bytes, seed: "large" }] });
    const started = performance.now();
    const url = `http://${proxy.host}/v2/rig/large/blobs/${layerOf(image).digest}`;
    const received = (await (await fetch(url)).arrayBuffer()).byteLength;

    expect(received).toBe(layerOf(image).size);
    expect(bytes / 1_000_000 / ((performance.now() - started) / 1000)).toBeGreaterThan(10);
  });

  test("stops answering when frozen, and answers when thawed", async () => {
    containerd.freeze();
    await expect(containerd.crictl("--timeout", "1s", "version")).rejects.toThrow();
    containerd.thaw();

    expect(await containerd.crictl("version")).toContain("containerd");
  });

  test("keeps its images over a kill and a restart", async () => {
    const image = await push("kept");
    await pull(image);
    await containerd.kill();
    await expect(containerd.crictl("--timeout", "1s", "version")).rejects.toThrow();
    await containerd.restart();

    expect((await containerd.images()).map(({ id }) => id)).toContain(image.configDigest);
  });
});

describeEveryLine("the rig's registry with credentials and TLS", (line) => {
  const auth = { user: "robot$team+reader", password: "p:ä$s'\"" };
  let containerd: Containerd;

  beforeAll(async () => {
    containerd = await startContainerd(line);
  });
  afterAll(() => containerd.stop());

  test("asks for the credentials that it was given", async () => {
    await using registry = await startRegistry({ auth });
    const { reference } = await pushImage(registry, "rig/private:1", { layers: [{ bytes: 10, seed: 1 }] });

    await expect(containerd.crictl("pull", reference)).rejects.toThrow(/no basic auth|unauthorized/i);
    await expect(containerd.crictl("pull", "--creds", "robot:wrong", reference)).rejects.toThrow();
    await containerd.crictl("pull", "--creds", `${auth.user}:${auth.password}`, reference);
  });

  test("speaks TLS to those who know its authority", async () => {
    await using registry = await startRegistry({ auth, tls: true });
    const { reference } = await pushImage(registry, "rig/tls:1", { layers: [{ bytes: 10, seed: 2 }] });
    const creds = ["--creds", `${auth.user}:${auth.password}`];

    await containerd.useHost(registry.host);
    await expect(containerd.crictl("pull", ...creds, reference)).rejects.toThrow(/unknown authority/);
    await containerd.useHost(registry.host, { caFile: registry.caFile! });
    await containerd.crictl("pull", ...creds, reference);
  });

  test.for([
    ["unknown-ca", /unknown authority/],
    ["wrong-name", /doesn't contain any IP SANs|not 127\.0\.0\.1/],
    ["expired", /expired/],
    [undefined, /server gave HTTP response to HTTPS client/],
  ] as const)("has a proxy whose TLS is wrong: %s", async ([tls, complaint]) => {
    await using registry = await startRegistry();
    await using proxy = await startFaultProxy(registry, tls === undefined ? {} : { tls });
    await pushImage(registry, "rig/wrong:1", { layers: [{ bytes: 10, seed: 3 }] });
    await containerd.useHost(proxy.host, proxy.caFile === undefined ? {} : { caFile: proxy.caFile });

    await expect(containerd.crictl("pull", `${proxy.host}/rig/wrong:1`)).rejects.toThrow(complaint);
  });

  test("has a proxy that breaks connections below TLS as well", async () => {
    await using registry = await startRegistry({ tls: true });
    await using proxy = await startFaultProxy(registry, { tls: "trusted" });
    const image = await pushImage(registry, "rig/broken:1", { layers: [{ bytes: layerBytes, seed: 4 }] });
    await containerd.useHost(proxy.host, { caFile: proxy.caFile! });
    const { digest, size } = image.layers[0]!;
    proxy.set({ digest, dropAfter: 1_000_000, times: 1 }, { digest, resetAfter: 500_000, skip: 1, times: 1 });
    const pull = () => containerd.crictl("pull", `${proxy.host}/rig/broken:1`);
    await pull().catch(pull).catch(pull);

    expect(proxy.requests().map(({ fault }) => fault)).toEqual(expect.arrayContaining(["drop", "reset"]));
    expect(proxy.bytesServedFor(digest)).toBeGreaterThanOrEqual(size);
  });

  test("goes by another name to a mirror", async () => {
    await using registry = await startRegistry();
    await pushImage(registry, "library/tool:1", { layers: [{ bytes: 10, seed: 5 }] });
    await containerd.useHost("docker.io", { mirror: `http://${registry.host}` });
    await containerd.crictl("pull", "tool:1");

    expect((await containerd.images()).flatMap(({ repoTags }) => repoTags)).toContain(
      "docker.io/library/tool:1",
    );
  });
});

describeEveryLine("the rig's end", (line) => {
  test("leaves no process, no mount and no file", async () => {
    const containerd = await startContainerd(line);
    const registry = await startRegistry();
    const image = await pushImage(registry, "rig/left:1", { layers: [{ bytes: 1000, seed: 6 }] });
    await containerd.crictl("pull", image.reference);
    await mountImage(containerd, image.reference);
    expect(mountsBelow(containerd.folder)).not.toEqual([]);
    await containerd.stop();
    await registry.stop();

    expect(mountsBelow(containerd.folder)).toEqual([]);
    expect(processesNaming(containerd.folder)).toEqual([]);
    expect(existsSync(containerd.folder)).toBe(false);
    expect(existsSync(`/proc/${containerd.pid()}`)).toBe(false);
  });

  test.for(["SIGTERM", "SIGINT"] as const)(
    "comes with that of a test process ended by %s",
    async (signal) => {
      const { child, folder } = await testProcess(line);
      child.kill(signal);
      await once(child, "exit");

      await poll("its containerd ends", () => processesNaming(folder).length === 0 || undefined);
      expect(existsSync(folder)).toBe(false);
    },
  );

  test("comes with that of a test process killed outright, and the next one sweeps the rest", async () => {
    const { child, folder } = await testProcess(line);
    child.kill("SIGKILL");
    await once(child, "exit");
    await poll("its containerd ends", () => processesNaming(folder).length === 0 || undefined);

    const next = await testProcess(line);
    expect(existsSync(folder)).toBe(false);
    next.child.kill();
    await once(next.child, "exit");
  });
});

async function mountImage(containerd: Containerd, reference: string) {
  const target = `${containerd.folder}/mnt`;
  const shell = promisify(execFile);
  await shell("mkdir", ["-p", target]);
  await containerd.ctr("images", "mount", reference, target);
  return {
    list: async (folder: string) => (await shell("ls", [`${target}/${folder}`])).stdout.trim().split("\n"),
    [Symbol.asyncDispose]: async () => {
      await containerd.ctr("images", "unmount", target);
    },
  };
}

/** A process of its own that starts a containerd and then waits. */
async function testProcess(line: ContainerdLine) {
  const module = new URL("../rig/containerd.ts", import.meta.url).href;
  const script = `
    import { startContainerd } from ${JSON.stringify(module)};
    const { folder } = await startContainerd(${JSON.stringify(line)});
    console.log(folder);
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [chunk] = (await once(child.stdout, "data")) as [Buffer];
  return { child, folder: chunk.toString("utf8").trim() };
}
