// Servers that do what no HTTP proxy can: answer a connection instead of a request, and hand out tokens.
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

/** Takes a connection and, at its first bytes, resets it, closes it, or never says anything. */
export async function startRudeServer(
  upstream: Endpoint,
  manner: "reset" | "eof" | "silent",
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

/**
 * A registry with bearer tokens, as Harbor has them. Its token service refuses the password, or grants a token that
 * opens nothing, or is out of order.
 */
export async function startTokenServer(
  upstream: Endpoint,
  manner: "refuse" | "grant-nothing" | "broken",
): Promise<Server> {
  let [healed, count] = [false, 0];
  const server = http.createServer((request, response) => {
    count += 1;
    if (request.url?.startsWith("/token") === true) tokenAnswer(response, healed ? "grant-nothing" : manner);
    else if (healed && request.headers.authorization !== undefined) forward(request, response, upstream);
    else challenge(request, response);
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

function tokenAnswer(response: http.ServerResponse, manner: "refuse" | "grant-nothing" | "broken"): void {
  const status = { refuse: 401, "grant-nothing": 200, broken: 503 }[manner];
  // Asked for by name when there are credentials, as `token` when there are none.
  const token = { token: "opens-nothing", access_token: "opens-nothing" };
  const body = status === 200 ? token : { errors: [{ code: "UNAUTHORIZED" }] };
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function challenge({ headers, socket }: http.IncomingMessage, response: http.ServerResponse): void {
  const denied = headers.authorization === undefined ? "" : ',error="insufficient_scope"';
  const realm = `http://127.0.0.1:${socket.localPort}/token`;
  const scope = "repository:faults/image:pull";
  response.writeHead(401, {
    "www-authenticate": `Bearer realm="${realm}",service="rig",scope="${scope}"${denied}`,
  });
  response.end();
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

async function listen(server: ReturnType<typeof createServer> | http.Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function close(server: ReturnType<typeof createServer> | http.Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  await closed;
}
