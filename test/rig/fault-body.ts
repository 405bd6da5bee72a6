import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { AppliedFault, Fault } from "./fault-rules.ts";

export type BodyEnd = "complete" | "truncate" | "stall" | "drop" | "reset";

/** Sends a body as far and as fast as the fault lets it; resolves with how it has to end. */
export async function sendBody(
  source: AsyncIterable<Buffer>,
  response: ServerResponse,
  { fault, buckets }: AppliedFault,
  count: (bytes: number) => void,
): Promise<BodyEnd> {
  const cut = firstCut(fault);
  const sliceSize = Math.min(...buckets.map((bucket) => bucket.slice), Infinity);
  const closed = once(response, "close");
  let sent = 0;
  if (cut.at === 0) return cut.end;
  for await (const chunk of source) {
    for (const slice of slices(corrupted(chunk, sent, fault), sliceSize)) {
      const part = slice.subarray(0, cut.at - sent);
      for (const bucket of buckets) await bucket.take(part.length);
      if (response.destroyed) return "drop";
      await write(response, part, sent + part.length === cut.at, closed);
      sent += part.length;
      count(part.length);
      if (sent === cut.at) return cut.end;
    }
  }
  return "complete";
}

function firstCut(fault: Fault): { at: number; end: BodyEnd } {
  const cuts: { at: number | undefined; end: BodyEnd }[] = [
    { at: fault.truncateAfter, end: "truncate" },
    { at: fault.stallAfter, end: "stall" },
    { at: fault.dropAfter, end: "drop" },
    { at: fault.resetAfter, end: "reset" },
  ];
  return cuts
    .map(({ at, end }) => ({ at: at ?? Infinity, end }))
    .reduce((first, next) => (next.at < first.at ? next : first), { at: Infinity, end: "complete" });
}

function* slices(chunk: Buffer, size: number): Generator<Buffer> {
  if (size >= chunk.length) return yield chunk;
  for (let start = 0; start < chunk.length; start += size) yield chunk.subarray(start, start + size);
}

function corrupted(chunk: Buffer, start: number, { corruptAt }: Fault): Buffer {
  if (corruptAt === undefined || corruptAt < start || corruptAt >= start + chunk.length) return chunk;
  const changed = Buffer.from(chunk);
  changed.writeUInt8(chunk.readUInt8(corruptAt - start) ^ 0xff, corruptAt - start);
  return changed;
}

// The last bytes before a cut must have left this process, or closing the connection would take them back.
async function write(
  response: ServerResponse,
  part: Buffer,
  flush: boolean,
  closed: Promise<unknown>,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const room = response.write(part, () => resolve());
  if (flush) await Promise.race([promise, closed]);
  else if (!room) await Promise.race([once(response, "drain"), closed]);
}
