// Deletes our pins of images that are no longer in the list.
import type { Plan } from "../core/plan.ts";
import type { Context } from "./context.ts";
import { toFailure } from "./tool-failure.ts";

/** A pin that cannot be deleted costs disk space but fails no run: the next run tries again. */
export async function tidy({ containerd, emit, stop }: Context, unpin: Plan["unpin"]): Promise<void> {
  for (const { record, name } of unpin) {
    if (stop.signal.aborted) return;
    try {
      await containerd.deleteRecord(record);
      emit({ type: "unpinned", name });
    } catch (error) {
      const failure = toFailure(error, stop.ended);
      emit({
        type: "warning",
        message: `${name} could not be unpinned (${failure.class}: ${failure.message})`,
      });
    }
  }
}
