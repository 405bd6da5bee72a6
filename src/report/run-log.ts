// Where a run's events go: each is applied to the state, then passed with the new state to every sink.
import { applyEvent, endRun, type Emit, type RunEvent } from "../core/events.ts";
import type { EndedRun, Ending, RunState } from "../core/run-state.ts";

export type Sink = (event: RunEvent, state: RunState) => void;

export interface Watcher extends Disposable {
  readonly sink: Sink;
}

/**
 * The time of an event in epoch milliseconds: the system time at the program's start, advanced by a monotonic clock.
 * The difference of two is the time that passed, even if the system time is changed.
 */
export const stamp = (): number => Math.round(performance.timeOrigin + performance.now());

export interface RunLog {
  readonly emit: Emit;
  /** Ends the run. @returns its final state */
  readonly end: (ending: Ending) => EndedRun;
  readonly state: () => RunState;
  /** Adds a sink for events from now on. A sink that throws is removed, and never ends a run. */
  readonly watch: (name: string, sink: Sink) => void;
}

/** @param onBroken called once for each sink that threw */
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
