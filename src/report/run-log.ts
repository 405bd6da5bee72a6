// Where a run's events go: each is added to the state, and shown to every sink with the state that it led to.
import { applyEvent, endRun, type Emit, type RunEvent } from "../core/events.ts";
import type { EndedRun, Ending, RunState } from "../core/run-state.ts";

export type Sink = (event: RunEvent, state: RunState) => void;

/** Watches a run until it is disposed. */
export interface Watcher extends Disposable {
  readonly sink: Sink;
}

/**
 * The time of an event: epoch milliseconds as of the program's start, moved on by a monotonic clock. It is a time of day
 * that nobody can set, so that two of them are always as far apart as what happened between them took.
 */
export const stamp = (): number => Math.round(performance.timeOrigin + performance.now());

export interface RunLog {
  readonly emit: Emit;
  /** Tells that the run has ended. @returns the state that it ended in */
  readonly end: (ending: Ending) => EndedRun;
  readonly state: () => RunState;
  /** Adds a sink, for events from now on. One that throws is left out from then on: it never ends a run. */
  readonly watch: (name: string, sink: Sink) => void;
}

/** @param onBroken told once of each sink that threw */
export function runLog(start: RunState, onBroken: (sink: string, error: unknown) => void): RunLog {
  const sinks = new Map<string, Sink>();
  let state = start;
  const show = (event: RunEvent): void => {
    for (const [name, sink] of sinks) {
      try {
        sink(event, state);
      } catch (error) {
        sinks.delete(name);
        onBroken(name, error);
      }
    }
  };
  return {
    emit: (event) => {
      state = applyEvent(state, event, stamp());
      show(event);
    },
    end: (ending) => {
      const ended = endRun(state, ending, stamp());
      state = ended;
      show({ type: "run-ended", ...ending });
      return ended;
    },
    state: () => state,
    watch: (name, sink) => void sinks.set(name, sink),
  };
}
