// Where a run's events go: each is added to the state, and shown to every sink with the state that it led to.
import { stamp } from "./stamp.ts";
import { applyEvent, type Emit, type RunEvent, type RunState } from "../core/run-state.ts";

export type Sink = (event: RunEvent, state: RunState) => void;

export interface RunLog {
  readonly emit: Emit;
  readonly state: () => RunState;
  /** Adds a sink, for events from now on. One that throws is left out from then on: it never ends a run. */
  readonly watch: (name: string, sink: Sink) => void;
}

/** @param onBroken told once of each sink that threw */
export function runLog(start: RunState, onBroken: (sink: string, error: unknown) => void): RunLog {
  const sinks = new Map<string, Sink>();
  let state = start;
  return {
    emit: (event) => {
      state = applyEvent(state, event, stamp());
      for (const [name, sink] of sinks) {
        try {
          sink(event, state);
        } catch (error) {
          sinks.delete(name);
          onBroken(name, error);
        }
      }
    },
    state: () => state,
    watch: (name, sink) => void sinks.set(name, sink),
  };
}
