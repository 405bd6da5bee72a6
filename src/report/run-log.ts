// Where a run's events go: each is added to the state, and shown to every sink with the state that it led to.
import { applyEvent, type Emit, type RunEvent, type RunState } from "../core/run-state.ts";

export type Sink = (event: RunEvent, state: RunState) => void;

export interface RunLog {
  readonly emit: Emit;
  readonly state: () => RunState;
  /** Adds a sink, for events from now on. */
  readonly watch: (sink: Sink) => void;
}

export function runLog(start: RunState, sinks: readonly Sink[]): RunLog {
  const watching = [...sinks];
  let state = start;
  return {
    emit: (event) => {
      state = applyEvent(state, event, Date.now());
      for (const sink of watching) sink(event, state);
    },
    state: () => state,
    watch: (sink) => void watching.push(sink),
  };
}
