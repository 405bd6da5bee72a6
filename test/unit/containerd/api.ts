// A gRPC server on a unix socket, of which a test writes the answers. It is a library's, which knows nothing of how our
// own client frames its messages.
import { createServer, type Server, type Socket } from "node:net";
import path from "node:path";
import {
  Server as GrpcServer,
  ServerCredentials,
  status,
  type MethodDefinition,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import { openConnection, type Connection } from "../../../src/containerd/connection.ts";

/** What a method answers with in place of a message. */
export class Refusal extends Error {
  readonly code: status;

  constructor(code: status, message = "no") {
    super(message);
    this.code = code;
  }
}

interface Seen {
  /** What was asked: service and method, and the message, in which a part that was not set is undefined. */
  readonly requests: unknown[];
  readonly namespaces: unknown[];
  /** Milliseconds that the caller still waits, as it told the server. */
  readonly patience: number[];
}

type Call<Request, Answer> = ServerUnaryCall<Request, Answer> | ServerWritableStream<Request, Answer>;

/** Adds the answers of one method. */
export type Route = (server: GrpcServer, seen: Seen) => void;

/** What a method answers: one message, or several where it streams; it may throw a Refusal. */
export const route =
  <Request, Answer>(
    method: MethodDefinition<Request, Answer>,
    answer: (request: Request) => readonly Answer[] | Promise<readonly Answer[]>,
  ): Route =>
  (server, seen) => {
    const noted = async (call: Call<Request, Answer>): Promise<readonly Answer[]> => {
      const { request, metadata } = call;
      seen.requests.push([method.path.split(".").at(-1), request]);
      seen.namespaces.push(...metadata.get("containerd-namespace"));
      seen.patience.push(Number(call.getDeadline()) - Date.now());
      return answer(request);
    };
    const unary = (call: ServerUnaryCall<Request, Answer>, send: sendUnaryData<Answer>): void =>
      void noted(call).then(
        ([message]) => send(null, message),
        (error: Refusal) => send(error),
      );
    const streamed = async (call: ServerWritableStream<Request, Answer>): Promise<void> => {
      try {
        for (const message of await noted(call)) call.write(message);
        call.end();
      } catch (error) {
        call.emit("error", error);
      }
    };
    const handle = method.responseStream
      ? (call: ServerWritableStream<Request, Answer>) => void streamed(call)
      : unary;
    server.addService({ method }, { method: handle });
  };

interface Serving extends Connection, Seen {
  /** Ends every call. */
  readonly stop: AbortController;
  /** As a daemon that is killed breaks its connections off. */
  readonly breakOff: () => void;
}

let count = 0;

/** Resolves when the server listens to the socket. */
export const listening = (server: Server, socket: string): Promise<void> =>
  new Promise((resolve) => void server.listen(socket, resolve));

/** @param folder for its socket @returns a connection to it, both closed when the test is over */
export async function serving(folder: string, routes: readonly Route[]): Promise<Serving> {
  const socket = path.join(folder, `api-${(count += 1)}.sock`);
  const seen: Seen = { requests: [], namespaces: [], patience: [] };
  const grpc = new GrpcServer();
  for (const add of routes) add(grpc, seen);
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const peers = new Set<Socket>();
  const server = createServer((peer) => {
    peers.add(peer);
    injector.injectConnection(peer);
  });
  await listening(server, socket);
  const stop = new AbortController();
  const connection = openConnection({ socket }, stop.signal);
  const breakOff = (): void => peers.forEach((peer) => peer.destroy());
  onTestFinished(() => {
    connection[Symbol.dispose]();
    breakOff();
    server.close();
    grpc.forceShutdown();
  });
  return { ...connection, ...seen, stop, breakOff };
}

/** A connection to a socket that a test made, or did not. */
export function connecting(socket: string): Connection {
  const connection = openConnection({ socket }, new AbortController().signal);
  onTestFinished(() => connection[Symbol.dispose]());
  return connection;
}
