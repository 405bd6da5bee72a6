// States of a run to be shown.
import { applyEvent, endRun, type RunEvent } from "../../../src/core/events.ts";
import {
  startState,
  type EndedRun,
  type Ending,
  type ImageState,
  type RunState,
} from "../../../src/core/run-state.ts";
import { digestOf } from "../samples.ts";

const START = Date.UTC(2025, 0, 2, 3, 4, 5);

/** The state after these events, each a second after the one before. */
export const after = (...events: readonly RunEvent[]): RunState =>
  events.reduce(
    (state, event, index) => applyEvent(state, event, START + 1_000 * (index + 1)),
    startState("id-1", "1.2.3", 77, START),
  );

/** The state in which a run ended after these events. */
export const endedAfter = (ending: Ending, ...events: readonly RunEvent[]): EndedRun =>
  endRun(after(...events), ending, START + 1_000 * (events.length + 1));

/** One that was there, unless it is said otherwise. */
export const image = (name: string, overrides: Partial<ImageState> = {}): ImageState =>
  ({
    name,
    names: [name],
    required: true,
    phase: "present",
    attempts: 0,
    endedAt: START,
    id: digestOf("a"),
    digest: digestOf("a"),
    size: 1_000,
    pinned: true,
    ...overrides,
  }) as ImageState;

/** A run that ended after a minute with these images. */
export const ended = (images: readonly ImageState[], overrides: Partial<EndedRun> = {}): EndedRun => ({
  ...endRun(startState("id-1", "1.2.3", 77, START), { exitCode: 0 }, START + 60_000),
  images,
  ...overrides,
});
