// States of a run to be shown.
import {
  applyEvent,
  startState,
  type ImageState,
  type RunEvent,
  type RunState,
} from "../../../src/core/run-state.ts";

const START = Date.UTC(2025, 0, 2, 3, 4, 5);

/** The state after these events, each a second after the one before. */
export const after = (...events: readonly RunEvent[]): RunState =>
  events.reduce(
    (state, event, index) => applyEvent(state, event, START + 1_000 * (index + 1)),
    startState("id-1", "1.2.3", 77, START),
  );

export const image = (name: string, overrides: Partial<ImageState> = {}): ImageState => ({
  name,
  names: [name],
  required: true,
  phase: "present",
  attempts: 0,
  ...overrides,
});

/** A run that ended after a minute with these images. */
export const ended = (images: readonly ImageState[], overrides: Partial<RunState> = {}): RunState => ({
  ...startState("id-1", "1.2.3", 77, START),
  phase: "ended",
  endedAt: START + 60_000,
  exitCode: 0,
  images,
  ...overrides,
});
