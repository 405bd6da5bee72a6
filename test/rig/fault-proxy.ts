import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";
import type { TlsOptions } from "node:tls";
import { setTimeout as delay } from "node:timers/promises";
import { type Certificate, type CertificateOptions, makeCertificate } from "./certs.ts";
import { sendBody } from "./fault-body.ts";
import { type AppliedFault, type Fault, type Rule, ruleBook } from "./fault-rules.ts";
import { type LoopbackServer, type OutageKind, startLoopbackServer } from "./fault-server.ts";
import { temporaryFolder } from "./folder.ts";
import { poll } from "./poll.ts";
import type { Endpoint } from "./registry.ts";
import { requestLog, type RequestLog, type ServedRequest } from "./request-log.ts";

const certificates = {
  trusted: {},
  // The same certificate, but its authority is not made known to the client.
  "unknown-ca": {},
  "wrong-name": { names: "DNS:elsewhere.invalid" },
  expired: { valid: "in the past" },
  "not-yet-valid": { valid: "in the future" },
  "negative-serial": { serial: -1 },
  "no-common-cipher": {},
  "old-protocol": {},
  "wants-certificate": {},
} satisfies Record<string, CertificateOptions>;

/** What the server itself does. */
const manners: Partial<Record<keyof typeof certificates, TlsOptions>> = {
  "no-common-cipher": { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES256-CCM" },
  "old-protocol": { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
  "wants-certificate": { requestCert: true, rejectUnauthorized: true },
};

export interface FaultProxyOptions {
  /** Without it the proxy speaks plain http, whatever the client expects. */
  tls?: keyof typeof certificates;
}

export interface FaultProxy extends Endpoint, AsyncDisposable {
  /** These rules and no others. */
  set(...rules: Rule[]): void;
  add(...rules: Rule[]): void;
  /** No rules: later requests are forwarded untouched. Answers under way keep their fault. */
  clear(): void;
  requests(): ServedRequest[];
  /** Forgets the requests and the byte counts. */
  clearRequests(): void;
  /** Body bytes handed to clients. */
  bytesServed(): number;
  bytesServedFor(digest: string): number;
  /** Waits until that much of a blob or manifest has gone out. */
  served(digest: string, bytes: number): Promise<void>;
  down(kind?: OutageKind): Promise<void>;
  up(): Promise<void>;
  outage(ms: number, kind?: OutageKind): Promise<void>;
  stop(): Promise<void>;
}

interface Upstream {
  endpoint: Endpoint;
  agent: http.Agent;
}

/** A proxy in front of a registry that does it harm on demand, and counts what it sends. */
export async function startFaultProxy(
  registry: Endpoint,
  options: FaultProxyOptions = {},
): Promise<FaultProxy> {
  using cleanup = new DisposableStack();
  const folder = cleanup.use(temporaryFolder());
  const certificate =
    options.tls && (await makeCertificate(path.join(folder.path, "tls"), certificates[options.tls]));
  const upstream = { endpoint: registry, agent: upstreamAgent(registry) };
  const rules = ruleBook();
  const log = requestLog();
  const server: LoopbackServer = await startLoopbackServer(
    (request, response) => {
      const record = log.begin(request, response);
      const applied = rules.apply(record);
      response.once("close", applied.end);
      handle({ upstream, server, record, applied, log }, request, response).catch(() => response.destroy());
    },
    certificate && { ...certificate, ...(options.tls && manners[options.tls]) },
  );
  const owned = cleanup.move();
  const stop = async (): Promise<void> => {
    await server.stop();
    upstream.agent.destroy();
    owned.dispose();
  };
  return {
    ...endpointOf(server.port, registry, options, certificate),
    ...control(server, log),
    set: (...next) => {
      rules.clear();
      rules.add(...next);
    },
    add: rules.add,
    clear: rules.clear,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function endpointOf(
  port: number,
  registry: Endpoint,
  { tls }: FaultProxyOptions,
  certificate: Certificate | undefined,
): Endpoint {
  return {
    host: `127.0.0.1:${port}`,
    scheme: certificate === undefined ? "http" : "https",
    ...(certificate !== undefined && tls !== "unknown-ca" && { caFile: certificate.caFile }),
    ...(registry.auth && { auth: registry.auth }),
  };
}

function control(
  server: LoopbackServer,
  log: RequestLog,
): Omit<FaultProxy, keyof Endpoint | "set" | "add" | "clear" | "stop" | typeof Symbol.asyncDispose> {
  return {
    requests: log.requests,
    clearRequests: log.clear,
    bytesServed: log.bytes,
    bytesServedFor: log.bytesFor,
    served: async (digest, bytes) => {
      await poll(
        `${bytes} bytes of ${digest} have gone out`,
        () => log.bytesFor(digest) >= bytes || undefined,
        { bound: 60_000, every: 5 },
      );
    },
    down: server.down,
    up: server.up,
    outage: async (ms, kind) => {
      await server.down(kind);
      await delay(ms);
      await server.up();
    },
  };
}

interface Exchange {
  upstream: Upstream;
  server: LoopbackServer;
  record: ServedRequest;
  applied: AppliedFault;
  log: RequestLog;
}

async function handle(
  exchange: Exchange,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const { fault } = exchange.applied;
  if (fault.latencyMs !== undefined) await delay(fault.latencyMs);
  if (response.destroyed) return;
  if (fault.hang === true) {
    exchange.record.fault = "hang";
  } else if (fault.status !== undefined) {
    exchange.record.fault = "status";
    request.resume();
    answer(response, fault.status, fault);
  } else {
    await forward(exchange, request, response);
  }
}

function answer(response: http.ServerResponse, status: number, fault: Fault): void {
  const body = fault.body ?? JSON.stringify({ errors: [{ code: errorCode(status), message: "by the rig" }] });
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...(status === 401 && { "www-authenticate": `Basic realm="rig"` }),
    ...(fault.retryAfter !== undefined && { "retry-after": fault.retryAfter }),
  });
  response.end(body);
}

function errorCode(status: number): string {
  const codes = new Map([
    [401, "UNAUTHORIZED"],
    [403, "DENIED"],
    [404, "NAME_UNKNOWN"],
    [429, "TOOMANYREQUESTS"],
  ]);
  return codes.get(status) ?? "UNKNOWN";
}

async function forward(
  exchange: Exchange,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const { applied, record, log } = exchange;
  const source = await askUpstream(exchange.upstream, request, response);
  record.status = source.statusCode ?? 0;
  const headers = { ...source.headers };
  const { truncateAfter } = applied.fault;
  if (truncateAfter !== undefined) {
    headers["content-length"] = String(Math.min(truncateAfter, Number(headers["content-length"] ?? 0)));
  }
  response.writeHead(record.status, headers);
  response.flushHeaders();
  const end = await sendBody(source, response, applied, (bytes) => log.count(record, bytes));
  if (end !== "complete") record.fault = end;
  else if (applied.fault.corruptAt !== undefined) record.fault = "corrupt";
  if (end === "drop") response.destroy();
  else if (end === "reset") exchange.server.reset(request);
  else if (end !== "stall") response.end();
}

async function askUpstream(
  { endpoint, agent }: Upstream,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<http.IncomingMessage> {
  const [host, port] = endpoint.host.split(":");
  const outgoing = (endpoint.scheme === "https" ? https : http).request({
    host,
    port,
    agent,
    method: request.method,
    path: request.url,
    headers: request.headers,
  });
  // The client went away: nobody reads what the registry still sends.
  response.once("close", () => outgoing.destroy());
  request.pipe(outgoing);
  const [source] = (await once(outgoing, "response")) as [http.IncomingMessage];
  outgoing.on("error", () => undefined);
  return source;
}

function upstreamAgent({ scheme, caFile }: Endpoint): http.Agent {
  if (scheme === "http") return new http.Agent({ keepAlive: true });
  return new https.Agent({ keepAlive: true, ...(caFile !== undefined && { ca: readFileSync(caFile) }) });
}
