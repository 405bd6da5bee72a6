// Servers that do what no HTTP proxy can: answer a connection instead of a request, hand out tokens, or pose as a registry.
import { once } from "node:events";
import http from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Endpoint } from "../rig/registry.ts";

export interface Server extends AsyncDisposable {
  readonly host: string;
  /** Connections or requests so far. */
  readonly count: () => number;
  /** From now on it only forwards. */
  readonly heal: () => void;
}

/** Takes a connection and, at its first bytes, resets it, closes it, answers as an SSH server, or never says anything. */
export async function startRudeServer(
  upstream: Endpoint,
  manner: "reset" | "eof" | "silent" | "not-http",
): Promise<Server> {
  const sockets = new Set<Socket>();
  let [healed, count] = [false, 0];
  const server = createServer((socket) => {
    count += 1;
    sockets.add(socket.on("error", () => undefined));
    socket.once("close", () => sockets.delete(socket));
    socket.once("data", (first: Buffer) => {
      if (healed) relay(socket, upstream, first);
      else if (manner === "reset") socket.resetAndDestroy();
      else if (manner === "eof") socket.end();
      else if (manner === "not-http") socket.end("SSH-2.0-OpenSSH_9.2\r\n");
    });
  });
  return {
    host: await listen(server),
    count: () => count,
    heal: () => {
      healed = true;
      for (const socket of sockets) socket.destroy();
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await close(server);
    },
  };
}

function relay(socket: Socket, upstream: Endpoint, first: Buffer): void {
  const [host = "", port] = upstream.host.split(":");
  const other = connect(Number(port), host).on("error", () => socket.destroy());
  other.write(first);
  socket.pipe(other).pipe(socket);
  socket.once("close", () => other.destroy());
}

export interface Asked {
  readonly method: string;
  readonly url: string;
  /** With the port. */
  readonly host: string;
}

/** Answers on every loopback address what it is told to write, as it stands: also what is no HTTP. */
export async function startRawServer(answer: (asked: Asked) => string) {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (head: Buffer) => {
      const asked = /^(?<method>[A-Z]+) (?<url>\S+) [^]*?^Host: (?<host>\S+)/imu.exec(
        head.toString("latin1"),
      );
      const { method = "", url = "", host = "" } = asked?.groups ?? {};
      // A client that begins with TLS falls back to plain http when it is answered so.
      socket.end(asked === null ? "HTTP/1.1 400 Bad Request\r\n\r\n" : answer({ method, url, host }));
    });
  });
  const port = (await listen(server, "0.0.0.0")).replace(/.*:/u, "");
  return { port, [Symbol.asyncDispose]: () => close(server) };
}

type Answering = (request: http.IncomingMessage, response: http.ServerResponse) => boolean;

/** A registry's front: `answer` says whether it answered; what it leaves, and all once it is healed, is forwarded. */
async function startFront(upstream: Endpoint, answer: Answering): Promise<Server> {
  let [healed, count] = [false, 0];
  const server = http.createServer((request, response) => {
    count += 1;
    if (healed || !answer(request, response)) forward(request, response, upstream);
  });
  return {
    host: await listen(server),
    count: () => count,
    heal: () => {
      healed = true;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await close(server);
    },
  };
}

const HTML = "<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>";

function reply(response: http.ServerResponse, status: number, type: string, body: string): true {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) }).end(body);
  return true;
}

/** Answers everything with a page: a captive portal, a login page, a proxy. */
export const startPortal = (upstream: Endpoint): Promise<Server> =>
  startFront(upstream, (_request, response) => reply(response, 200, "text/html; charset=utf-8", HTML));

/**
 * Serves manifests, and sends for each blob to a store.
 * @param store that always answers with this status, or is elsewhere
 */
export const startWithStore = (upstream: Endpoint, store: number | string): Promise<Server> =>
  startFront(upstream, ({ url = "", headers }, response) => {
    if (url.startsWith("/store/") && typeof store === "number")
      return reply(response, store, "application/xml", "<Error><Code>AccessDenied</Code></Error>");
    if (!url.includes("/blobs/")) return false;
    const base = typeof store === "number" ? `http://${headers.host}` : store;
    const location = `${base}/store/layer?X-Amz-Date=20260101T000000Z&X-Amz-Signature=${"0".repeat(64)}`;
    response.writeHead(307, { location, "content-length": 0 }).end();
    return true;
  });

/** Sends each request for a manifest to itself. */
export const startRedirectLoop = (upstream: Endpoint): Promise<Server> =>
  startFront(upstream, ({ url = "" }, response) => {
    if (!url.includes("/manifests/")) return false;
    response.writeHead(307, { location: url, "content-length": 0 }).end();
    return true;
  });

/** Announces a manifest with these headers. */
export const startAnnouncing = (
  upstream: Endpoint,
  headers: Readonly<Record<string, string>>,
): Promise<Server> =>
  startFront(upstream, ({ url = "", method }, response) => {
    if (!url.includes("/manifests/") || method !== "HEAD") return false;
    const type = "application/vnd.oci.image.manifest.v1+json";
    response.writeHead(200, { "content-type": type, ...headers }).end();
    return true;
  });

/** Wants a login of a kind that containerd does not have. */
export const startForeignLogin = (upstream: Endpoint, wanted: string): Promise<Server> =>
  startFront(upstream, (_request, response) => {
    response.writeHead(401, { "www-authenticate": wanted, "content-length": 0 }).end();
    return true;
  });

/** Serves a manifest of Docker's schema 1, whatever is asked for. */
export const startOldRegistry = (upstream: Endpoint): Promise<Server> =>
  startFront(upstream, ({ url = "", method }, response) => {
    if (!url.includes("/manifests/")) return false;
    const type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    if (method !== "HEAD") return reply(response, 200, type, SCHEMA_1);
    response.writeHead(200, { "content-type": type, "content-length": Buffer.byteLength(SCHEMA_1) }).end();
    return true;
  });

const SCHEMA_1 = JSON.stringify({
  schemaVersion: 1,
  name: "faults/schema-1",
  tag: "1",
  architecture: "amd64",
  fsLayers: [{ blobSum: `sha256:${"0".repeat(64)}` }],
  history: [{ v1Compatibility: JSON.stringify({ id: "0".repeat(64), os: "linux", architecture: "amd64" }) }],
});

/**
 * A registry with bearer tokens, as Harbor has them. Its token service refuses the password, grants a token that opens
 * nothing, or one that expires once the manifest is served, is out of order, or is none: it answers a page or nothing.
 */
export type TokenManner = "refuse" | "grant-nothing" | "expire" | "broken" | "html" | "empty";

/** @param realm of the token service, where it is not this server */
export const startTokenServer = (upstream: Endpoint, manner: TokenManner, realm?: string): Promise<Server> =>
  startFront(upstream, (request, response) => {
    const { url = "", headers } = request;
    if (url.startsWith("/token")) return tokenAnswer(response, manner);
    const opens = manner === "expire" && headers.authorization !== undefined;
    if (opens && !url.includes("/blobs/")) return false;
    return challenge(request, response, opens ? "invalid_token" : "insufficient_scope", realm);
  });

function tokenAnswer(response: http.ServerResponse, manner: TokenManner): true {
  if (manner === "html") return reply(response, 200, "text/html", HTML);
  const status = { refuse: 401, broken: 503 }[manner as string] ?? 200;
  // Asked for by name when there are credentials, as `token` when there are none.
  const token = { token: "opens-nothing", access_token: "opens-nothing" };
  const granted = manner === "empty" ? {} : token;
  const body = status === 200 ? granted : { errors: [{ code: "UNAUTHORIZED" }] };
  return reply(response, status, "application/json", JSON.stringify(body));
}

function challenge(
  { headers, socket }: http.IncomingMessage,
  response: http.ServerResponse,
  error: string,
  realm = `http://127.0.0.1:${socket.localPort}/token`,
): true {
  const denied = headers.authorization === undefined ? "" : `,error="${error}"`;
  const scope = "repository:faults/image:pull";
  response.writeHead(401, {
    "www-authenticate": `Bearer realm="${realm}",service="rig",scope="${scope}"${denied}`,
  });
  response.end();
  return true;
}

function forward(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  { host, scheme }: Endpoint,
): void {
  const { authorization: _, ...headers } = request.headers;
  http.get(`${scheme}://${host}${request.url}`, { method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
}

async function listen(
  server: ReturnType<typeof createServer> | http.Server,
  address = "127.0.0.1",
): Promise<string> {
  server.listen(0, address);
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function close(server: ReturnType<typeof createServer> | http.Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  await closed;
}
