import { SemVer } from "semver";
import { describe, expect, test } from "vitest";
import { ApiError } from "../../../src/containerd/connection.ts";
import { Failed, CODE } from "../../../src/core/failure.ts";
import { EXIT } from "../../../src/exit.ts";
import type { RunEvent } from "../../../src/core/events.ts";
import { requireTools, runtimeWait, untilReady, withRetry, type Waiting } from "../../../src/run/ready.ts";
import { realClock } from "../../../src/run/clock.ts";
import { stopper } from "../../../src/run/stopper.ts";
import { gone, inMemoryContainerd, notFound, toolError, type InMemory } from "../containerd/in-memory.ts";
import { served } from "../containerd/served-image.ts";
import { temporaryFolder } from "../folder.ts";
import { config, MACHINE } from "./bench.ts";
import { fakeClock } from "./fake-clock.ts";

const folder = temporaryFolder();
const TOOL = folder.write("tool", "#!/bin/sh\n", 0o755);
const PLAIN = folder.write("plain", "no program");
const settings = { ...config().containerd, crictl: TOOL, ctr: TOOL, ready_timeout: 10_000 };
const throws = (error: Error) => (): never => {
  throw error;
};
const times = (count: number, error: () => Error) => Array.from({ length: count }, () => throws(error()));

describe("tools", () => {
  test("that are there are enough", () => {
    expect(() => requireTools(settings)).not.toThrow();
  });

  test("that are missing are all told at once, each with its path and property", () => {
    expect(() => requireTools({ ...settings, crictl: "/nowhere/crictl", ctr: PLAIN })).toThrow(
      expect.objectContaining({
        exitCode: EXIT.runtimeNotReady,
        message:
          "container runtime not usable: crictl is not an executable at /nowhere/crictl (property containerd.crictl); " +
          `ctr is not an executable at ${PLAIN} (property containerd.ctr)`,
      }),
    );
  });
});

function waitingFor(node: InMemory, more: Partial<Waiting> = {}) {
  const clock = fakeClock();
  const [begin, waits] = [clock.now(), new Array<string>()];
  const waiting: Waiting = {
    containerd: node.containerd,
    clock,
    config: config({ containerd: settings }),
    signal: new AbortController().signal,
    onWait: (why) => void waits.push(why),
    ...more,
  };
  return { waits, ready: () => untilReady(waiting), waited: () => clock.now() - begin };
}

describe("containerd", () => {
  test("that answers is ready without a word, and tells what it can do", async () => {
    const { ready, waits } = waitingFor(inMemoryContainerd("1.7.35"));
    expect(await ready()).toMatchObject({ containerd: "1.7.35", pins: true });
    expect(waits).toEqual([]);
  });

  test("that does not answer yet is asked again, and the wait is told once", async () => {
    const node = inMemoryContainerd();
    node.before("version", ...times(3, gone));
    const { ready, waits, waited } = waitingFor(node);
    expect(await ready()).toMatchObject({ containerd: "1.7.35" });
    expect([waits.length, node.calls.length, waited()]).toEqual([1, 4, 750]);
  });

  test("that never answers ends it in its time, with what was said last and the setting", async () => {
    const node = inMemoryContainerd();
    node.before("version", ...times(99, gone));
    const { ready, waited } = waitingFor(node);
    await expect(ready()).rejects.toMatchObject({
      exitCode: EXIT.runtimeNotReady,
      message: expect.stringMatching(
        /did not answer within 10\.0?s \(property containerd\.ready_timeout\)\. Last answer: .*nobody listens.* property containerd\.socket is its socket$/u,
      ),
    });
    expect(waited()).toBeLessThanOrEqual(10_000);
  });

  test.each([
    [
      "the socket may not be opened",
      new ApiError(CODE.permissionDenied, "this user may not open it (run as root)"),
      "run as root",
    ],
    [
      "there is no CRI v1 behind it",
      new ApiError(CODE.unimplemented, "unknown service runtime.v1.RuntimeService"),
      "it has no CRI v1",
    ],
  ])("is not waited for when %s: that is told at once", async (_what, error, said) => {
    const node = inMemoryContainerd();
    node.before("version", throws(error));
    const { ready, waits, waited } = waitingFor(node);
    await expect(ready()).rejects.toMatchObject({
      exitCode: EXIT.runtimeNotReady,
      message: expect.stringContaining(said),
    });
    expect([waits, waited()]).toEqual([[], 0]);
  });

  test("that hangs is given up as well, and told as silent", async () => {
    const hangs = { ...inMemoryContainerd().containerd, version: (signal: AbortSignal) => hung(signal) };
    const { ready } = waitingFor(inMemoryContainerd(), {
      containerd: hangs,
      config: config({ containerd: { ...settings, ready_timeout: 20 } }),
    });
    await expect(ready()).rejects.toMatchObject({
      exitCode: EXIT.runtimeNotReady,
      message: expect.stringContaining(
        "Last answer: none. See whether containerd runs, and whether property",
      ),
    });
  });

  test("is not waited for after a signal, whose reason comes out", async () => {
    const stop = new AbortController();
    const reason = new Failed({ class: "cancelled", message: "stopped by SIGTERM" });
    const node = inMemoryContainerd();
    node.before("version", ...times(99, gone));
    const { ready } = waitingFor(node, { signal: stop.signal, onWait: () => stop.abort(reason) });
    await expect(ready()).rejects.toBe(reason);
  });

  test("is what did not come when the deadline passes first", async () => {
    const stop = new AbortController();
    const late = new Failed({ class: "timeout", message: "the deadline of 1m00s has passed" });
    const node = inMemoryContainerd();
    node.before("version", ...times(99, gone));
    const { ready } = waitingFor(node, { signal: stop.signal, onWait: () => stop.abort(late) });
    await expect(ready()).rejects.toMatchObject({
      exitCode: EXIT.runtimeNotReady,
      message: expect.stringMatching(/did not answer and the deadline of 1m00s has passed/u),
    });
  });
});

const hung = (signal: AbortSignal): Promise<SemVer> =>
  new Promise((_resolve, reject) =>
    signal.addEventListener("abort", () => reject(new ApiError(CODE.cancelled, "hung")), { once: true }),
  );

describe("a step that finds containerd gone", () => {
  const RECORD = { name: "a.b/c:1", labels: {}, target: served("one").target };

  function patience(node: InMemory) {
    const events: RunEvent[] = [];
    const stop = stopper(new AbortController().signal, 3_600_000, realClock);
    const context = {
      config: config(),
      containerd: node.containerd,
      machine: MACHINE,
      clock: fakeClock(),
      emit: (event: RunEvent) => void events.push(event),
      stop,
    };
    return { events, stop, containerd: withRetry(node.containerd, runtimeWait(context)) };
  }
  const waits = (events: readonly RunEvent[]): string[] => events.map(({ type }) => type);

  test("waits until it answers again, and is done then", async () => {
    const node = inMemoryContainerd();
    node.before("saveRecord", throws(gone()));
    node.before("version", ...times(4, gone));
    const { containerd, events } = patience(node);
    await containerd.saveRecord(RECORD);
    expect([...node.records.keys()]).toEqual([RECORD.name]);
    expect(waits(events)).toEqual(["waiting", "runtime-back"]);
  });

  test("is every step of a run but pulls and imports, and what watches them", async () => {
    const node = inMemoryContainerd();
    const image = served("one");
    node.bring("a.b/c:1", image);
    const { containerd } = patience(node);
    const all: Readonly<Record<string, () => Promise<unknown>>> = {
      criImages: () => containerd.criImages(),
      records: () => containerd.records(),
      blobs: () => containerd.blobs(),
      snapshots: () => containerd.snapshots("overlayfs"),
      read: () => containerd.read(image.config),
      saveRecord: () => containerd.saveRecord(RECORD),
      createLease: () => containerd.createLease("ours", new Date(0)),
      deleteLease: () => containerd.deleteLease("ours"),
      tag: () => containerd.tag("a.b/c:1", ["x.y/z:1"]),
      deleteRecord: () => containerd.deleteRecord("a.b/c:1"),
    };
    for (const [call, ask] of Object.entries(all)) {
      node.before(call, throws(gone()));
      await ask();
    }
    expect(
      Object.keys(all).map((call) => node.calls.filter((made) => made.split(" ", 1)[0] === call).length),
    ).toEqual(Object.keys(all).map(() => 2));
    const raw = new Map(Object.entries(node.containerd));
    expect(
      Object.entries(containerd)
        .flatMap(([call, ask]) => (raw.get(call) === ask ? call : []))
        .toSorted(),
    ).toEqual([
      "containerImages",
      "downloads",
      "hold",
      "importArchive",
      "leases",
      "prepareLogin",
      "pull",
      "sync",
      "version",
    ]);
  });

  test("is asked again for a tool that had no answer from it", async () => {
    const node = inMemoryContainerd();
    node.bring("a.b/c:1", served("one"));
    node.before("tag", throws(toolError('ctr: failed to dial "/c.sock": context deadline exceeded')));
    await patience(node).containerd.tag("a.b/c:1", ["x.y/z:1"]);
    expect(node.records.has("x.y/z:1")).toBe(true);
  });

  test("shares one wait with all others", async () => {
    const node = inMemoryContainerd();
    node.before("records", ...times(3, gone));
    node.before("version", ...times(2, gone));
    const { containerd, events } = patience(node);
    await Promise.all([containerd.records(), containerd.records(), containerd.records()]);
    expect(waits(events)).toEqual(["waiting", "runtime-back"]);
    expect(node.calls.filter((call) => call === "version")).toHaveLength(3);
  });

  test("waits anew each time", async () => {
    const node = inMemoryContainerd();
    const { containerd, events } = patience(node);
    for (let outage = 0; outage < 2; outage += 1) {
      node.before("records", throws(gone()));
      node.before("version", ...times(2, gone));
      await containerd.records();
    }
    expect(waits(events)).toEqual(["waiting", "runtime-back", "waiting", "runtime-back"]);
  });

  test("fails at once with what is no matter of waiting", async () => {
    const node = inMemoryContainerd();
    node.before("read", throws(notFound("sha256:1")));
    await expect(patience(node).containerd.read({ digest: "sha256:1", size: 1 })).rejects.toMatchObject({
      code: 5,
    });
    expect(node.calls).toEqual(["read sha256:1"]);
  });

  test("is not asked for ever where containerd answers and the step alone fails", async () => {
    const node = inMemoryContainerd();
    node.before("records", ...times(9, gone));
    const { containerd, events, stop } = patience(node);
    await expect(containerd.records()).rejects.toMatchObject({ code: CODE.unavailable });
    expect(node.calls.filter((call) => call === "records")).toHaveLength(3);
    expect([events, stop.signal.aborted]).toEqual([[], false]);
  });

  test("ends the run when it does not come back in its time", async () => {
    const node = inMemoryContainerd();
    node.before("records", throws(gone()));
    node.before("version", ...times(999, gone));
    const { containerd, stop } = patience(node);
    await expect(containerd.records()).rejects.toMatchObject({ failure: { class: "runtime" } });
    expect(stop.signal.reason).toMatchObject({ failure: { class: "runtime" } });
    expect(() => stop.throwIfLost()).toThrow(expect.objectContaining({ exitCode: EXIT.runtimeNotReady }));
  });
});
