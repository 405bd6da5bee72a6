import type { IncomingMessage, ServerResponse } from "node:http";

export interface ServedRequest {
  method: string;
  path: string;
  /** 0 while there is no answer. */
  status: number;
  /** Body bytes handed to the client so far. */
  bytes: number;
  /** Of the blob or manifest, when the path has one. */
  digest?: string;
  range?: string;
  authorization?: string;
  /** On the clock of performance.now(). */
  startedAt: number;
  endedAt?: number;
  /** Aborted: the connection ended before the answer did, by either side. */
  outcome: "open" | "complete" | "aborted";
  /** What the proxy did to it. */
  fault?: "status" | "hang" | "stall" | "drop" | "reset" | "truncate" | "corrupt";
}

export interface RequestLog {
  begin(request: IncomingMessage, response: ServerResponse): ServedRequest;
  count(record: ServedRequest, bytes: number): void;
  requests(): ServedRequest[];
  bytes(): number;
  bytesFor(digest: string): number;
  clear(): void;
}

export function requestLog(): RequestLog {
  let records: ServedRequest[] = [];
  const byDigest = new Map<string, number>();
  let total = 0;
  return {
    begin: (request, response) => {
      const record = describe(request);
      records.push(record);
      response.once("close", () => {
        record.status = response.headersSent ? response.statusCode : 0;
        record.endedAt = performance.now();
        record.outcome = response.writableFinished ? "complete" : "aborted";
      });
      return record;
    },
    count: (record, bytes) => {
      record.bytes += bytes;
      total += bytes;
      if (record.digest === undefined) return;
      byDigest.set(record.digest, (byDigest.get(record.digest) ?? 0) + bytes);
    },
    requests: () => [...records],
    bytes: () => total,
    bytesFor: (digest) => byDigest.get(digest) ?? 0,
    clear: () => {
      records = [];
      byDigest.clear();
      total = 0;
    },
  };
}

function describe({ method = "", url: path = "", headers }: IncomingMessage): ServedRequest {
  const digest = /sha256:[0-9a-f]{64}/.exec(path)?.[0];
  return {
    method,
    path,
    status: 0,
    bytes: 0,
    startedAt: performance.now(),
    outcome: "open",
    ...(digest !== undefined && { digest }),
    ...(headers.range !== undefined && { range: headers.range }),
    ...(headers.authorization !== undefined && { authorization: headers.authorization }),
  };
}
