import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TlsOptions } from "node:tls";
import type { Certificate } from "./certs.ts";

export type OutageKind = "refused" | "destroyed";

export interface LoopbackServer {
  readonly port: number;
  /** Goes away: every connection breaks, new ones are refused, or accepted and broken. */
  down(kind?: OutageKind): Promise<void>;
  /** Comes back on the same port. */
  up(): Promise<void>;
  /** Ends the connection a request came on with a reset, which the TLS layer itself cannot do. */
  reset(request: http.IncomingMessage): void;
  stop(): Promise<void>;
}

/** An HTTP or, with a certificate, HTTPS server on a free loopback port that can be taken down and up again. */
export async function startLoopbackServer(
  handler: http.RequestListener,
  certificate: (Certificate & TlsOptions) | undefined,
): Promise<LoopbackServer> {
  const server = createServer(handler, certificate);
  // By the port of the other side: the request knows only the TLS socket.
  const connections = new Map<number, Socket>();
  let breaking = false;
  server.on("connection", (socket: Socket) => {
    const port = socket.remotePort ?? 0;
    connections.set(port, socket);
    socket.once("close", () => connections.delete(port)).on("error", () => undefined);
    if (breaking) socket.destroy();
  });
  const port = await listen(server, 0);
  const breakAll = (): void => {
    for (const socket of connections.values()) socket.destroy();
  };
  const stop = async (): Promise<void> => {
    breakAll();
    if (server.listening) await close(server);
  };
  return {
    port,
    down: async (kind = "refused") => {
      breaking = kind === "destroyed";
      if (breaking) breakAll();
      else await stop();
    },
    up: async () => {
      breaking = false;
      if (!server.listening) await listen(server, port);
    },
    reset: ({ socket }) => connections.get(socket.remotePort ?? 0)?.resetAndDestroy(),
    stop,
  };
}

function createServer(
  handler: http.RequestListener,
  certificate: (Certificate & TlsOptions) | undefined,
): http.Server {
  const server =
    certificate === undefined
      ? http.createServer(handler)
      : https.createServer(
          {
            ...certificate,
            cert: readFileSync(certificate.certFile),
            key: readFileSync(certificate.keyFile),
          },
          handler,
        );
  // Faults hold answers for as long as a test likes.
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  return server;
}

async function listen(server: http.Server, port: number): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function close(server: http.Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  await closed;
}
