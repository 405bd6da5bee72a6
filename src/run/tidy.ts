// Takes away what is ours and no longer wanted: pins of images that left the list.
import type { Capabilities } from "../core/capabilities.ts";
import type { Node } from "../core/node.ts";
import { unwantedPins, type WantedImage } from "../core/plan.ts";
import type { Context } from "./context.ts";
import { toFailure } from "./tool-failure.ts";

/** What stays pinned costs disk, and fails no run: it is done next time. */
export async function tidy(
  { containerd, emit, stop }: Context,
  wanted: readonly WantedImage[],
  node: Node,
  can: Capabilities,
): Promise<void> {
  const attempt = async (what: string, act: () => Promise<void>): Promise<void> => {
    if (stop.signal.aborted) return;
    await act().catch((error: unknown) => {
      const failure = toFailure(error, stop.ended);
      emit({ type: "warning", message: `${what} (${failure.class}: ${failure.message})` });
    });
  };
  for (const { record, name } of can.pins ? unwantedPins(wanted, node) : []) {
    await attempt(`${name} could not be unpinned`, async () => {
      await containerd.deleteRecord(record);
      emit({ type: "unpinned", name });
    });
  }
}
