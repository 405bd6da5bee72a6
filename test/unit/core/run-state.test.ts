import { describe, expect, test } from "vitest";
import { applyEvent, endRun, type RunEvent } from "../../../src/core/events.ts";
import {
  imageOf,
  isComplete,
  lasted,
  startState,
  totals,
  type ImageState,
  type RunState,
  type Verified,
} from "../../../src/core/run-state.ts";
import { failure } from "../samples.ts";

const A = "a.b/c:1";
const B = "a.b/d:1";
const started: RunEvent = {
  type: "run-started",
  images: [
    { name: A, names: [A, "x.y/z:1"], required: true },
    { name: B, names: [B], required: false },
  ],
};
const VERIFIED: Verified = { id: "sha256:1", digest: "sha256:2", size: 5, pinned: true };

/** The state after these events, which happen at 1, 2, 3… */
const after = (...events: readonly RunEvent[]): RunState =>
  events.reduce(
    (state, event, index) => applyEvent(state, event, index + 1),
    startState("id", "1.0.0", 7, 0),
  );
const stateOf = (state: RunState, name = A): ImageState => {
  const image = imageOf(state, name);
  if (image === undefined) throw new Error(`${name} is not in the state`);
  return image;
};

describe("the run", () => {
  test("begins before anything is known of it", () => {
    expect(after()).toMatchObject({ phase: "starting", startedAt: 0, pid: 7, images: [] });
  });

  test("goes from phase to phase", () => {
    const events: readonly (readonly [RunEvent, string])[] = [
      [{ type: "waiting", phase: "waiting-for-lock", why: "held" }, "waiting-for-lock"],
      [started, "starting"],
      [{ type: "waiting", phase: "waiting-for-start", why: "3m" }, "waiting-for-start"],
      [{ type: "waiting", phase: "waiting-for-runtime", why: "down" }, "waiting-for-runtime"],
      [{ type: "runtime-ready", containerd: "1.7.35", concurrency: 4 }, "importing"],
      [{ type: "planned", images: [] }, "importing"],
      [{ type: "waiting", phase: "waiting-for-runtime", why: "gone" }, "waiting-for-runtime"],
      [{ type: "runtime-back" }, "importing"],
      [{ type: "verifying" }, "verifying"],
      [{ type: "waiting", phase: "waiting-for-runtime", why: "gone again" }, "waiting-for-runtime"],
      [{ type: "runtime-back" }, "verifying"],
      [{ type: "run-ended", exitCode: 0 }, "ended"],
    ];
    const all = events.map(([event]) => event);
    expect(all.map((_, index) => after(...all.slice(0, index + 1)).phase)).toEqual(
      events.map(([, phase]) => phase),
    );
  });

  test("keeps what was found out, warned of and unpinned", () => {
    expect(
      after(
        { type: "runtime-ready", containerd: "1.7.35", concurrency: 4 },
        { type: "warning", message: "one" },
        { type: "warning", message: "two" },
        { type: "unpinned", name: B },
        { type: "concurrency", images: 2, why: "429" },
      ),
    ).toMatchObject({ containerd: "1.7.35", concurrency: 2, warnings: ["one", "two"], unpinned: [B] });
  });

  test("tells when, how and why it ended", () => {
    const state = after({ type: "run-ended", exitCode: 143, stopped: "stopped by SIGTERM" });
    expect(state).toMatchObject({ endedAt: 1, exitCode: 143, stopped: "stopped by SIGTERM" });
    expect(after({ type: "run-ended", exitCode: 0 })).toMatchObject({ stopped: undefined });
  });

  test("is over when it has ended: nothing changes it any more", () => {
    const state = after(started, { type: "run-ended", exitCode: 0 });
    expect(applyEvent(state, { type: "warning", message: "late" }, 9)).toBe(state);
    expect(endRun(state, { exitCode: 70 }, 9)).toBe(state);
  });

  test("says what it waits for, only while it waits, and what goes on after it", () => {
    const waits = after(
      started,
      { type: "waiting", phase: "waiting-for-start", why: "3m" },
      { type: "waiting", phase: "waiting-for-runtime", why: "no answer" },
    );
    expect(waits).toMatchObject({ phase: "waiting-for-runtime", why: "no answer", next: "starting" });
    const back = applyEvent(waits, { type: "runtime-back" }, 9);
    expect(back.phase).toBe("starting");
    expect(back).not.toHaveProperty("why");
    expect(back).not.toHaveProperty("next");
  });

  test("is a value: an event changes no earlier state", () => {
    const before = after(started);
    applyEvent(before, { type: "attempt-started", image: A, attempt: 1 }, 9);
    expect(stateOf(before).phase).toBe("waiting");
  });
});

describe("an image", () => {
  const first: RunEvent = { type: "attempt-started", image: A, attempt: 1 };
  const broken = failure("transfer", "unexpected EOF");

  test("waits, with all that it will be called", () => {
    expect(stateOf(after(started))).toEqual({
      name: A,
      names: [A, "x.y/z:1"],
      required: true,
      phase: "waiting",
      attempts: 0,
    });
  });

  test("is pulled, finished and verified", () => {
    const progress = { received: 5, total: 10, layersDone: 0, layers: 2 };
    const state = after(
      started,
      first,
      { type: "progress", image: A, progress },
      { type: "pulled", image: A, attempt: 1 },
      { type: "tagged", image: A, target: "x.y/z:1", moved: false },
      { type: "pinned", image: A, digest: "sha256:2" },
    );
    expect(stateOf(state)).toMatchObject({ phase: "tagging", startedAt: 2, progress });
    const end = applyEvent(state, { type: "image-done", image: A, phase: "pulled", verified: VERIFIED }, 9);
    expect(stateOf(end)).toMatchObject({ ...VERIFIED, phase: "pulled", startedAt: 2, endedAt: 9 });
  });

  test("has taken until it was named and pinned, however long the others kept the proof waiting", () => {
    const state = after(started, first, { type: "pulled", image: A, attempt: 1 });
    const placed = applyEvent(state, { type: "placed", image: A }, 7);
    const done = applyEvent(
      placed,
      { type: "image-done", image: A, phase: "pulled", verified: VERIFIED },
      90,
    );
    expect(stateOf(done)).toMatchObject({ startedAt: 2, endedAt: 7 });
  });

  test("that waits for its next attempt says when it comes, and not any more once it has begun", () => {
    const waits = after(started, first, {
      type: "attempt-failed",
      image: A,
      attempt: 1,
      failure: broken,
      retryIn: 500,
    });
    expect(stateOf(waits)).toMatchObject({ phase: "retrying", retryAt: 503 });
    const again = stateOf(applyEvent(waits, { type: "attempt-started", image: A, attempt: 2 }, 600));
    expect(again).toMatchObject({ phase: "pulling", attempts: 2, startedAt: 2 });
    expect(again).not.toHaveProperty("retryAt");
  });

  test("that gets no further attempt has its failure, and does not wait for one", () => {
    const state = after(started, first, { type: "attempt-failed", image: A, attempt: 1, failure: broken });
    expect(stateOf(state)).toMatchObject({ phase: "pulling", failure: { ...broken, step: "pull" } });
  });

  test("that was flaky still shows its failure when it succeeded in the end", () => {
    const state = after(
      started,
      first,
      { type: "attempt-failed", image: A, attempt: 1, failure: broken, retryIn: 0 },
      { type: "pulled", image: A, attempt: 2 },
      { type: "image-done", image: A, phase: "pulled", verified: VERIFIED },
    );
    expect(stateOf(state)).toMatchObject({
      phase: "pulled",
      attempts: 2,
      failure: { ...broken, step: "pull" },
    });
  });

  test("that failed says in which step, and what to do next", () => {
    const failed: RunEvent = { type: "image-failed", image: A, step: "tag", failure: failure("auth", "no") };
    expect(stateOf(after(started, failed))).toMatchObject({
      phase: "failed",
      endedAt: 2,
      failure: { class: "auth", message: "no", step: "tag", next: expect.stringContaining("password") },
    });
  });

  test("that the proof found damaged is pulled again, and has not ended", () => {
    const placed = after(started, first, { type: "placed", image: A });
    const again = stateOf(applyEvent(placed, { type: "attempt-started", image: A, attempt: 1 }, 9));
    expect(again.phase).toBe("pulling");
    expect(again).not.toHaveProperty("endedAt");
  });

  test("that nobody asked for is ignored", () => {
    const state = after(started);
    expect(applyEvent(state, { type: "attempt-started", image: "q.r/s:1", attempt: 1 }, 5)).toBe(state);
  });
});

describe("an archive", () => {
  const archive: RunEvent = {
    type: "run-started",
    images: [
      { name: A, names: [A], required: true },
      { name: "/x/images.tar", names: [], required: false },
    ],
  };
  const opened: RunEvent = { type: "archive-done", image: "/x/images.tar", names: [A, B], imported: true };

  test("gives its place to the images that it holds, as required as it is itself", () => {
    const state = after(archive, opened);
    expect(state.images.map(({ name }) => name)).toEqual([A, B]);
    expect(stateOf(state, B)).toMatchObject({ phase: "waiting", required: false, names: [B] });
    expect(stateOf(state, A).required).toBe(true);
  });

  test("makes what it holds required if it is, whatever else is not", () => {
    const images = [
      { name: B, names: [B], required: false },
      { name: "/x/images.tar", names: [], required: true },
    ];
    expect(stateOf(after({ type: "run-started", images }, opened), A).required).toBe(true);
  });

  test("that failed stays, with its reason", () => {
    const broken: RunEvent = {
      type: "image-failed",
      image: "/x/images.tar",
      step: "import",
      failure: failure("unknown", "no archive"),
    };
    expect(stateOf(after(archive, broken), "/x/images.tar")).toMatchObject({
      phase: "failed",
      failure: { step: "import" },
    });
  });
});

const done = (image: string, phase: "present" | "pulled" | "imported" | "kept"): RunEvent => ({
  type: "image-done",
  image,
  phase,
  verified: VERIFIED,
});
const failed = (image: string): RunEvent => ({
  type: "image-failed",
  image,
  step: "pull",
  failure: failure("network"),
});

test.each([
  [undefined, undefined],
  [{}, undefined],
  [{ startedAt: 3 }, undefined],
  [{ endedAt: 5 }, undefined],
  [{ startedAt: 3, endedAt: 5 }, 2],
])("of %j, the duration is %s", (one, expected) => {
  expect(lasted(one)).toBe(expected);
});

test("totals count every image once", () => {
  const names = ["p", "q", "r", "s", "t", "u"].map((name) => `a.b/${name}:1`);
  const [p, q, r, s, t] = names as [string, string, string, string, string];
  const state = after(
    { type: "run-started", images: names.map((name) => ({ name, names: [name], required: true })) },
    done(p, "present"),
    done(q, "pulled"),
    done(r, "kept"),
    failed(s),
    done(t, "imported"),
  );
  expect(totals(state.images)).toMatchObject({
    present: 1,
    pulled: 1,
    imported: 1,
    kept: 1,
    failed: 1,
    unfinished: 1,
  });
});

describe("a run is complete", () => {
  test.each(["present", "pulled", "imported", "kept"] as const)("when what is required is %s", (phase) => {
    expect(isComplete(after(started, done(A, phase), failed(B)))).toBe(true);
  });

  test("not when a required image failed, or is not finished", () => {
    expect(isComplete(after(started, failed(A), done(B, "pulled")))).toBe(false);
    expect(isComplete(after(started, done(B, "pulled")))).toBe(false);
    expect(isComplete(after(started, { type: "placed", image: A }))).toBe(false);
  });

  test("when there was nothing to do", () => {
    expect(isComplete(after({ type: "run-started", images: [] }))).toBe(true);
  });
});
