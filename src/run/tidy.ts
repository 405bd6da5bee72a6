// Takes away what is ours and no longer wanted: pins of images that left the list.
import type { Plan } from "../core/plan.ts";
import type { Context } from "./context.ts";
import { toFailure } from "./tool-failure.ts";

/** What stays pinned costs disk, and fails no run: it is done next time. */
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
