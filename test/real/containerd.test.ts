// The contract that src/containerd/containerd.ts keeps with every containerd: what each call of the port tells and does, held against ctr and crictl.
import { chmodSync, existsSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { decodeConfig } from "../../src/config/decode.ts";
import type { Config } from "../../src/config/config.ts";
import { CommandError } from "../../src/containerd/command.ts";
import { ApiError } from "../../src/containerd/connection.ts";
import { type Containerd as Port, realContainerd } from "../../src/containerd/containerd.ts";
import type { PullOptions } from "../../src/containerd/crictl.ts";
import type { ImportOptions } from "../../src/containerd/ctr.ts";
import { chainIdOf, configOf, layersOf, manifestsOf } from "../../src/core/content.ts";
import { credentialFromPair } from "../../src/core/credentials.ts";
import { diagnose } from "../../src/core/evidence.ts";
import type { ImageRecord } from "../../src/core/node.ts";
import { parseReference, type Reference } from "../../src/core/reference.ts";
import { layerRef } from "../../src/core/transfer.ts";
import { dockerArchive, ociArchive } from "../rig/archive.ts";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { type Folder, temporaryFolder } from "../rig/folder.ts";
import { poll } from "../rig/poll.ts";
import { type PushedImage, pushImage, pushIndex } from "../rig/push.ts";
import { describeEachLine } from "../rig/suite.ts";
import { agentFor } from "./support/agent.ts";
import { agentCommand } from "./support/executable.ts";
import { clientsOf, login, pushTo, startNode, type TestNode } from "./support/node.ts";

const [UNAVAILABLE, CANCELED, DEADLINE_EXCEEDED, NOT_FOUND] = [14, 1, 4, 5];

const referenceOf = (name: string): Reference => {
  const parsed = parseReference(name);
  if (typeof parsed === "string") throw new Error(parsed);
  return parsed;
};

type Place = Pick<Containerd, "crictlPath" | "ctrPath" | "socket">;

function configFor({ crictlPath: crictl, ctrPath: ctr, socket }: Place): Config {
  const registries = [{ host: "registry.example.com", username: login.user, password: login.password }];
  const decoded = decodeConfig({ images: [], registries, containerd: { crictl, ctr, socket } });
  if (!decoded.ok) throw new Error(JSON.stringify(decoded.issues));
  return decoded.config;
}

const open = (place: Place, signal = new AbortController().signal): Port =>
  realContainerd(configFor(place), signal);

/** What a call throws; one that does not is wrong. */
async function failureOf<Failure extends Error>(
  kind: abstract new (...args: never[]) => Failure,
  call: Promise<unknown>,
): Promise<Failure> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof kind)) throw new Error(`the call did not fail with ${kind.name}`, { cause: error });
  return error;
}
const refused = (call: Promise<unknown>): Promise<ApiError> => failureOf(ApiError, call);

const twoLayers = (name: string) => ({
  layers: [
    { bytes: 20_000, seed: `${name}-small` },
    // containerd writes a MiB at once, so less would show no growth.
    { bytes: 4_000_000, seed: `${name}-large` },
  ],
});

describeEachLine("containerd", (line) => {
  let node: TestNode;
  let port: Port;
  let pid: number;

  beforeAll(async () => {
    node = await startNode(line);
    pid = node.containerd.pid();
    port = open(node.containerd);
  });
  afterEach(() => {
    node.proxy.clear();
    node.proxy.clearRequests();
  });
  afterAll(async () => {
    port[Symbol.dispose]();
    await node[Symbol.asyncDispose]();
  });

  const push = (name: string, bytes = 40_000, layers = 1): Promise<PushedImage> =>
    pushTo(node.registry, name, {
      layers: Array.from({ length: layers }, (_, nth) => ({ bytes, seed: `${name}${nth || ""}` })),
    });
  const through = ({ repository, tag }: PushedImage): string => `${node.proxy.host}/${repository}:${tag}`;
  const pull = (name: string, options: Partial<PullOptions> = {}): Promise<void> =>
    port.pull(name, { signal: new AbortController().signal, ...options });
  const pulled = async (name: string): Promise<PushedImage> => {
    const image = await push(name);
    await pull(image.reference);
    return image;
  };
  const words = async (...args: string[]): Promise<string[]> =>
    (await node.containerd.ctr(...args)).split("\n").filter(Boolean);
  const recordOf = async (name: string): Promise<ImageRecord | undefined> =>
    (await port.records()).find((record) => record.name === name);
  const listed = async (name: string) => (await port.criImages()).find(({ names }) => names.includes(name));
  const digestName = ({ repository, digest }: PushedImage): string =>
    `${node.registry.host}/${repository}@${digest}`;

  describe("tells", () => {
    test("its version", async () => {
      const version = await port.version(new AbortController().signal);

      expect(node.containerd.version).toContain(version.version);
    });

    test("every record by its literal name, with its labels and where it leads", async () => {
      const image = await pulled("tell/record:1");
      await node.containerd.ctr(
        "images",
        "tag",
        image.reference,
        "short:1",
        "index.docker.io/library/long:1",
      );
      await node.containerd.ctr("images", "label", "short:1", "example.com/owner=team.a");
      const truth = await node.containerd.records();
      const found = await port.records();

      expect(found.map(({ name }) => name).toSorted()).toEqual([...truth.keys()].toSorted());
      expect(await recordOf("index.docker.io/library/long:1")).toBeDefined();
      const { mediaType, digest, size } = image;
      expect(await recordOf("short:1")).toMatchObject({
        labels: { "example.com/owner": "team.a" },
        target: { mediaType, digest, size },
      });
    });

    test("the record of one name, literally", async () => {
      const image = await pulled("tell/one:1");

      expect(await port.record(digestName(image))).toEqual(await recordOf(digestName(image)));
      expect(await port.record(image.reference.replace(/:1$/u, ""))).toBeUndefined();
    });

    test("every blob with its size and the labels that link it to others", async () => {
      const image = await pulled("tell/blob:1");
      const blobs = new Map((await port.blobs()).map((blob) => [blob.digest, blob]));
      const digests = await words("content", "ls", "--quiet");

      expect([...blobs.keys()].toSorted()).toEqual(digests.toSorted());
      const manifest = blobs.get(image.digest)!;
      expect(manifest.size).toBe(image.size);
      expect(configOf(manifest)).toBe(image.configDigest);
      expect(layersOf(manifest)).toEqual(image.layers.map(({ digest }) => digest));
      expect(manifestsOf(manifest)).toEqual([]);
      expect(await port.blob(image.digest)).toEqual(manifest);
      expect(await port.blob(`sha256:${"0".repeat(64)}`)).toBeUndefined();
    });

    test("the manifests of an index", async () => {
      const images = [];
      for (const platform of ["linux/amd64", "linux/arm64"]) {
        const spec = { layers: [{ bytes: 10_000, seed: platform }], platform };
        images.push(await pushImage(node.registry, `tell/index:${platform.slice(6)}`, spec));
      }
      const index = await pushIndex(
        node.registry,
        "tell/index:1",
        images.map((image) => ({ image })),
      );
      await pull(index.reference);
      const blob = (await port.blobs()).find(({ digest }) => digest === index.digest)!;

      expect(manifestsOf(blob)).toContain(images[0]!.digest);
      expect(configOf(blob)).toBeUndefined();
    });

    test("the blobs of a repository alone, also those that it shares", async () => {
      const [one, other] = [await pulled("tell/re.po:1"), await pulled("tell/rexpo:1")];
      const spec = {
        layers: [{ bytes: 40_000, seed: "tell/re.po:1" }],
        annotations: { further: "manifest" },
      };
      const shared = await pushTo(node.registry, "tell/sharing:1", spec);
      await pull(shared.reference);
      const digests = async (name: string, alsoShared = true) =>
        (await port.blobs([{ repository: referenceOf(name), shared: alsoShared }]))
          .map(({ digest }) => digest)
          .toSorted();

      const layer = one.layers[0]!.digest;
      expect(await digests(one.reference)).toEqual([one.digest, one.configDigest, layer].toSorted());
      // containerd does not fetch a layer that is unpacked already, and so does not say that it is here as well.
      expect(await digests(shared.reference)).toEqual([shared.digest, shared.configDigest].toSorted());
      // The config is that of both.
      expect(await digests(one.reference, false)).toEqual([one.digest, layer].toSorted());
      expect(await digests(other.reference)).not.toContain(layer);
      expect(await digests("registry.example.com/none:1")).toEqual([]);
    });

    test("the text of a blob, and that there is none", async () => {
      const image = await pulled("tell/text:1");
      const none = await refused(port.read({ digest: `sha256:${"0".repeat(64)}`, size: 1 }));

      expect(await port.read(image)).toBe(await node.containerd.ctr("content", "get", image.digest));
      expect(none.code).toBe(NOT_FOUND);
    });

    test("the committed snapshots of one snapshotter, all of them or some", async () => {
      const image = await pulled("tell/snapshot:1");
      const config = (await port.blobs()).find(({ digest }) => digest === image.configDigest)!;
      const chainId = chainIdOf(config, "overlayfs") ?? "";
      await node.containerd.ctr("snapshots", "prepare", "tell-active", chainId);
      const rows = (await words("snapshots", "ls")).slice(1).map((row) => row.trim().split(/\s+/u));
      const committed = rows.filter((row) => row.at(-1) === "Committed").map(([key = ""]) => key);

      const all = await port.snapshots("overlayfs");
      const found = all.flatMap(({ name, isCommitted }) => (isCommitted ? name : []));
      expect(found.toSorted()).toEqual(committed.toSorted());
      expect(all).toContainEqual(
        expect.objectContaining({ name: "tell-active", parent: chainId, isCommitted: false }),
      );
      const asked = [chainId, "sha256:none"].map((key) => port.snapshot("overlayfs", key));
      expect(await Promise.all(asked)).toEqual([all.find(({ name }) => name === chainId), undefined]);
      expect(await port.snapshots("native")).toEqual([]);
    });

    test("the directories of a snapshot's layers, the top one first, without leaving a view", async () => {
      const image = await push("tell/directories:1", 40_000, 3);
      await pull(image.reference);
      const config = (await port.blobs()).find(({ digest }) => digest === image.configDigest)!;
      const before = await port.snapshots("overlayfs");
      const found = await port.layerDirectories("overlayfs", chainIdOf(config, "overlayfs") ?? "");

      expect(found).toHaveLength(3);
      expect(found?.every((directory) => statSync(directory).isDirectory())).toBe(true);
      expect(await port.snapshots("overlayfs")).toEqual(before);
    });

    test("where blobs are, and where CRI keeps what is unpacked", async () => {
      const image = await pulled("tell/place:1");
      const blobs = await port.contentDirectory();
      const file = path.join(blobs ?? "", "blobs", ...image.digest.split(":"));
      expect(statSync(file).size).toBe(image.size);
      expect(statSync((await port.imageDirectory()) ?? "").isDirectory()).toBe(true);
    });

    test("what CRI lists: id, names, compressed size, and whether it is pinned", async () => {
      const image = await pulled("tell/listed:1");

      expect(await listed(image.reference)).toMatchObject({
        id: image.configDigest,
        names: [image.reference, digestName(image)],
        pinned: false,
      });
      // Config and manifest are small beside the layer; unpacked it would be more than the layer by a block of tar.
      const size = (await listed(image.reference))?.size ?? 0;
      expect(size).toBeGreaterThanOrEqual(image.layers[0]!.size);
      expect(size).toBeLessThan(image.layers[0]!.size + 4_000);
    });

    test("the directory of the images' file system, which is named after CRI's snapshotter", async () => {
      const directory = (await port.imageDirectory()) ?? "";

      expect(directory).toBe(path.join(node.containerd.root, "io.containerd.snapshotter.v1.overlayfs"));
      expect(existsSync(directory)).toBe(true);
    });

    test("downloads as they grow, to the byte, and no more once they are done", async () => {
      const image = await pushTo(node.registry, "tell/watched:1", twoLayers("watched"));
      const { digest, size } = image.layers[1]!;
      node.proxy.set({ digest, bytesPerSecond: 1_500_000 });
      const pulling = pull(through(image));
      const of = async () => (await port.downloads()).find(({ ref }) => ref === layerRef(digest));
      const early = await poll("a download is seen", async () => {
        const seen = await of();
        return seen !== undefined && seen.offset > 0 ? seen : undefined;
      });
      const later = await poll("it grows", async () => {
        const seen = await of();
        return seen !== undefined && seen.offset > early.offset ? seen : undefined;
      });
      const served = node.proxy.bytesServedFor(digest);

      expect(later.total).toBe(size);
      expect(later.offset).toBeLessThanOrEqual(served);
      await pulling;
      expect(await of()).toBeUndefined();
    });
  });

  describe("pulls", () => {
    test("by digest, as that one record", async () => {
      const image = await push("pull/digest:1");
      await pull(digestName(image));

      expect((await listed(digestName(image)))?.names).toEqual([digestName(image)]);
      expect((await recordOf(digestName(image)))?.target.digest).toBe(image.digest);
    });

    test("with credentials, and fails as auth without them or with others", async () => {
      const image = await pushTo(node.locked, "pull/private:1");
      const none = await failureOf(CommandError, pull(image.reference));
      const credential = credentialFromPair(login.user, "no-sword");
      const wrong = await failureOf(CommandError, pull(image.reference, { credential }));

      expect([none, wrong].map(({ raw }) => diagnose(raw).class)).toEqual(["auth", "auth"]);
      port.prepareLogin();
      await pull(image.reference, { credential: credentialFromPair(login.user, login.password) });
      expect((await listed(image.reference))?.id).toBe(image.configDigest);
    });

    test("and fails as not found where there is no tag or no repository", async () => {
      await push("pull/there:1");
      const tag = await failureOf(CommandError, pull(`${node.registry.host}/pull/there:2`));
      const repository = await failureOf(CommandError, pull(`${node.registry.host}/pull/nowhere:1`));

      expect([tag, repository].map(({ raw }) => diagnose(raw).class)).toEqual(["not-found", "not-found"]);
    });

    const downloadEnded = (digest: string) =>
      poll("containerd has ended the download", () => {
        const requests = node.proxy.requests().filter((request) => request.digest === digest);
        return requests.every(({ outcome }) => outcome !== "open") || undefined;
      });

    test("until a signal, which ends the download in containerd as well", async () => {
      const image = await push("pull/signal:1", 3_000_000);
      const { digest } = image.layers[0]!;
      node.proxy.set({ digest, bytesPerSecond: 200_000 });
      const stop = new AbortController();
      const pulling = failureOf(CommandError, pull(through(image), { signal: stop.signal }));
      await node.proxy.served(digest, 100_000);
      stop.abort();

      expect((await pulling).timedOut).toBe(false);
      await downloadEnded(digest);
      expect(clientsOf(node.containerd)).toEqual([]);
      expect(await listed(through(image))).toBeUndefined();
    });
  });

  describe("writes", () => {
    const name = (text: string): string =>
      `import-images.invalid/contract@sha256:${text.repeat(64).slice(0, 64)}`;

    test("a record, its labels when it is there already beside those of others, and deletes it twice", async () => {
      const image = await pulled("write/record:1");
      const { target } = (await recordOf(image.reference))!;
      await port.saveRecord({ name: name("a"), labels: { "io.cri-containerd.pinned": "pinned" }, target });
      await node.containerd.ctr(
        "images",
        "label",
        name("a"),
        "other.example.com/x=y",
        "io.cri-containerd.pinned=",
      );
      await port.saveRecord({ name: name("a"), labels: { "io.cri-containerd.pinned": "pinned" }, target });

      // CRI adds a label of its own.
      expect((await node.containerd.records()).get(name("a"))).toMatchObject({
        name: name("a"),
        digest: image.digest,
        labels: { "other.example.com/x": "y", "io.cri-containerd.pinned": "pinned" },
      });
      await port.deleteRecord(name("a"));
      await port.deleteRecord(name("a"));
      expect((await node.containerd.records()).has(name("a"))).toBe(false);
      expect((await node.containerd.records()).has(image.reference)).toBe(true);
    });

    test("further names in one call, again, a digest name, and one that led to another image", async () => {
      const [image, other] = [await pulled("write/tag:1"), await pulled("write/tag-other:1")];
      const names = ["docker.io/library/write-tag:1", "docker.io/library/write-tag:2"];
      const byDigest = `docker.io/library/write-tag@${image.digest}`;
      await port.tag(image.reference, [...names, byDigest]);
      await port.tag(image.reference, names);
      await port.tag(other.reference, [names[0]!]);
      const records = await node.containerd.records();

      expect(records.get(names[0]!)?.digest).toBe(other.digest);
      expect(records.get(names[1]!)?.digest).toBe(image.digest);
      expect(records.get(byDigest)?.digest).toBe(image.digest);
      await poll("CRI knows them", async () => {
        const ids = await Promise.all(
          [names[0]!, names[1]!, byDigest].map(async (each) => (await listed(each))?.id),
        );
        return (
          ids.join() === [other, image, image].map(({ configDigest }) => configDigest).join() || undefined
        );
      });
    });

    /** A partial download of 4 MB, which nothing is fetching any more. */
    async function broken(text: string, lease?: string): Promise<string> {
      const image = await pushTo(node.registry, `write/${text}:1`, twoLayers(text));
      const { digest } = image.layers[1]!;
      if (lease !== undefined) await port.hold(lease, { type: "ingests", id: layerRef(digest) });
      // Dropped in the middle, and then not to be had: containerd itself would go on from there otherwise.
      node.proxy.add({ digest, dropAfter: 2_500_000, times: 1 }, { digest, status: 503, skip: 1 });
      await failureOf(CommandError, pull(through(image)));
      return layerRef(digest);
    }
    const isOpen = async (ref: string): Promise<boolean> =>
      (await port.downloads()).some((download) => download.ref === ref);
    /** The end of any lease that is waited for is a garbage collection. */
    async function collect(): Promise<void> {
      await port.createLease("contract-collection", new Date(Date.now() + 60_000));
      await port.deleteLease("contract-collection");
    }
    const inAnHour = (): Date => new Date(Date.now() + 3_600_000);

    test("a lease, and what it holds of a broken download stays until it is deleted", async () => {
      await port.createLease("contract-held", inAnHour());
      await port.createLease("contract-held", inAnHour());
      const ref = await broken("held", "contract-held");
      await collect();

      expect(await port.leases()).toEqual(["contract-held"]);
      expect((await words("leases", "ls")).join("\n")).toContain("contract-held");
      expect(await isOpen(ref)).toBe(true);
      await port.deleteLease("contract-held");
      await port.deleteLease("contract-held");
      expect(await isOpen(ref)).toBe(false);
      expect(await port.leases()).toEqual([]);
    });

    test("a lease that holds a blob which no image needs", async () => {
      const image = await pulled("write/leased:1");
      await port.createLease("contract-content", inAnHour());
      await port.hold("contract-content", { type: "content", id: image.digest });
      await node.containerd.crictl("rmi", image.reference);
      await collect();
      const blobs = async () => (await port.blobs()).map(({ digest }) => digest);

      expect(await blobs()).toEqual(expect.arrayContaining([image.digest, image.layers[0]!.digest]));
      await port.deleteLease("contract-content");
      expect(await blobs()).not.toContain(image.digest);
    });

    test("nothing that holds a broken download without a lease", async () => {
      const ref = await broken("unheld");
      await collect();

      expect(await isOpen(ref)).toBe(false);
    });

    test("no lease of others into the list, and no resource into one that is gone", async () => {
      await node.containerd.ctr("leases", "create", "--id", "contract-foreign");
      const gone = await refused(port.hold("contract-never", { type: "ingests", id: "layer-none" }));

      expect(await port.leases()).toEqual([]);
      expect(gone.code).toBe(NOT_FOUND);
    });

    test("the end of a held download, twice", async () => {
      await port.createLease("contract-abort", inAnHour());
      const ref = await broken("abort", "contract-abort");
      await port.abort(ref);
      await port.abort(ref);

      expect(await isOpen(ref)).toBe(false);
      await port.deleteLease("contract-abort");
    });

    test("the images of an archive, also compressed, and tells their names as they are recorded", async () => {
      const options: ImportOptions = {
        signal: new AbortController().signal,
        timeout: 60_000,
        platform: "linux/amd64",
        snapshotter: "overlayfs",
        local: line === "2",
      };
      const layers = [{ bytes: 20_000, seed: "import" }];
      const docker = dockerArchive({ names: ["import.example/docker:1", "import.example/docker:2"], layers });
      const oci = ociArchive({ names: ["import.example/oci:1", "short:9"], layers });
      const written = { "d.tar": docker, "o.tar.gz": gzipSync(oci), "o.tar.zst": zstdCompressSync(oci) };
      const found: string[][] = [];
      for (const [file, content] of Object.entries(written)) {
        const archive = path.join(node.containerd.folder, file);
        writeFileSync(archive, content);
        const brought = await port.importArchive(archive, options);
        found.push(brought.map(([made]) => made).toSorted());
        for (const [made, digest] of brought)
          expect((await port.record(made))?.target.digest, made).toBe(digest);
      }

      const ofOci = ["import.example/oci:1", "short:9"];
      expect(found).toEqual([["import.example/docker:1", "import.example/docker:2"], ofOci, ofOci]);
      const records = await node.containerd.records();
      for (const each of found.flat()) expect(records.has(each), each).toBe(true);
    });

    test("without ending the daemon", async () => {
      expect(node.containerd.pid()).toBe(pid);
      expect(existsSync(`/proc/${pid}`)).toBe(true);
      await node.containerd.crictl("version");
      expect(await node.containerd.log()).not.toMatch(/^panic: |SIGSEGV/mu);
    });
  });
});

describeEachLine("the connection to containerd", (line) => {
  let containerd: Containerd;

  beforeAll(async () => {
    containerd = await startContainerd(line);
  });
  afterEach(() => vi.useRealTimers());
  afterAll(() => containerd.stop());

  test("goes on after a restart of containerd, and after one that was killed in the middle of a call", async () => {
    using port = open(containerd);
    expect(await port.records()).toEqual([]);
    await containerd.restart();
    expect(await port.records()).toEqual([]);
    containerd.freeze();
    const inFlight = refused(port.records());
    const streaming = refused(port.blobs());
    await containerd.kill();

    expect([(await inFlight).code, (await streaming).code]).toEqual([UNAVAILABLE, UNAVAILABLE]);
    const down = await refused(port.records());
    expect(down.code).toBe(UNAVAILABLE);
    expect(down.message).toBe(`containerd cannot be reached at ${containerd.socket}: nobody listens to it`);
    await containerd.restart();
    expect(await port.records()).toEqual([]);
  });

  test("ends a call by its deadline, and by a signal of the run or of the call", async () => {
    const stop = new AbortController();
    using port = open(containerd, stop.signal);
    await port.records();
    containerd.freeze();
    try {
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      const late = refused(port.records());
      await vi.advanceTimersByTimeAsync(31_000);
      vi.useRealTimers();
      expect(await late).toMatchObject({ code: DEADLINE_EXCEEDED });
      expect((await late).message).toContain("did not answer in time");

      const own = new AbortController();
      const asked = refused(port.version(own.signal));
      own.abort();
      expect((await asked).code).toBe(CANCELED);
      const calls = [refused(port.criImages()), refused(port.snapshots("overlayfs"))];
      stop.abort();
      expect((await Promise.all(calls)).map(({ code }) => code)).toEqual([CANCELED, CANCELED]);
    } finally {
      containerd.thaw();
    }
  });

  test("tells that there is no socket", async () => {
    const socket = path.join(containerd.folder, "none.sock");
    using port = open({ ...containerd, socket });
    const missing = await refused(port.records());

    expect(missing.code).toBe(UNAVAILABLE);
    expect(missing.message).toBe(`containerd cannot be reached at ${socket}: it does not exist`);
  });
});

describeEachLine("a containerd that no waiting mends", (line) => {
  let containerd: Containerd;
  let folder: Folder;

  beforeAll(async () => {
    folder = temporaryFolder();
    containerd = await startContainerd(line, { withoutCri: true });
  });
  afterAll(async () => {
    await containerd.stop();
    folder[Symbol.dispose]();
  });

  test.for(["run", "plan", "status"])(
    "because its CRI is disabled ends %s with 3 at once",
    async (command) => {
      const agent = agentFor(containerd);
      const patient = { images: [{ name: "app:1" }], containerd: { ready_timeout: "10m" } };
      const ended = await agent.run(patient, command);

      expect(ended.exitCode).toBe(3);
      expect(ended.stderr).toContain("it has no CRI v1");
      expect(ended.stderr.trimEnd().split("\n")).toHaveLength(1);
    },
  );

  test.for(["plan", "status"])(
    "because another user may not open its socket ends %s with 3 at once",
    async (command) => {
      // Not in the rig's own folder, which is closed to others.
      const file = path.join(folder.path, "config.json");
      const tools = {
        crictl: "/bin/true",
        ctr: "/bin/true",
        socket: containerd.socket,
        ready_timeout: "10m",
      };
      writeFileSync(file, JSON.stringify({ images: [{ name: "app:1" }], containerd: tools }));
      chmodSync(folder.path, 0o755);
      const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ...agentCommand()];
      const ended = await agentFor({ ...containerd, folder: folder.path }).exec(
        [command, "--config", file],
        asNobody,
      );

      expect(ended.exitCode).toBe(3);
      expect(ended.stderr).toContain("this user may not open it (run as root)");
      expect(ended.stderr).not.toContain("    at ");
    },
  );
});
