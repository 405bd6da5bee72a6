// A gRPC server on a unix socket, of which a test writes the answers, and what it was asked.
import { createServer, type ServerHttp2Session } from "node:http2";
import path from "node:path";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { onTestFinished } from "vitest";
import { openConnection, type Connection } from "../../../src/containerd/connection.ts";

let count = 0;

interface Serving extends Connection {
  /** Ends every call. */
  readonly stop: AbortController;
  /** As a daemon that is killed breaks its connections off. */
  readonly breakOff: () => void;
}

/** @param folder for its socket @returns a connection to it, both closed when the test is over */
export async function serving(folder: string, routes: (router: ConnectRouter) => void): Promise<Serving> {
  const socket = path.join(folder, `api-${(count += 1)}.sock`);
  const server = createServer(connectNodeAdapter({ routes, grpcWeb: false, connect: false }));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => void sessions.add(session));
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const stop = new AbortController();
  const connection = openConnection({ socket, namespace: "k8s.io", signal: stop.signal });
  const breakOff = (): void => sessions.forEach((session) => session.destroy());
  onTestFinished(() => {
    connection[Symbol.dispose]();
    breakOff();
    server.close();
  });
  return { ...connection, stop, breakOff };
}

/** A connection to a socket that a test made, or did not. */
export function connecting(socket: string): Connection {
  const connection = openConnection({ socket, namespace: "k8s.io", signal: new AbortController().signal });
  onTestFinished(() => connection[Symbol.dispose]());
  return connection;
}
