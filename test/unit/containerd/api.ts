// A gRPC server on a unix socket, of which a test writes the answers. It is the library's, which knows nothing of how our
// own client frames its messages.
import { createServer, type ServerHttp2Session } from "node:http2";
import type { Server } from "node:net";
import path from "node:path";
import {
  toJson,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { onTestFinished } from "vitest";
import { openConnection, type Connection } from "../../../src/containerd/connection.ts";

/** Adds the answers of one method. @param requests to which it adds what was asked */
export type Route = (router: ConnectRouter, requests: unknown[]) => void;

type Answer<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
) => MessageInitShape<O>[] | Promise<MessageInitShape<O>[]>;

/** What a method answers: one message, or several where it streams; it may throw a ConnectError. */
export const route =
  <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O> | DescMethodServerStreaming<I, O>,
    answer: Answer<I, O>,
  ): Route =>
  (router, requests) => {
    const noted = async (request: MessageShape<I>): Promise<MessageInitShape<O>[]> => {
      requests.push([method.input.name, toJson(method.input, request)]);
      return answer(request);
    };
    if (method.methodKind === "unary") router.rpc(method, async (request) => only(await noted(request)));
    else
      router.rpc(method, async function* (request) {
        yield* await noted(request);
      });
  };

function only<Message>([message]: readonly Message[]): Message {
  if (message === undefined) throw new ConnectError("the test has no answer", Code.DataLoss);
  return message;
}

interface Serving extends Connection {
  /** What was asked: the message's name, and its content as JSON, in which a part that was not set is not there. */
  readonly requests: readonly unknown[];
  readonly namespaces: readonly unknown[];
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
  const [requests, namespaces]: [unknown[], unknown[]] = [[], []];
  const answer = connectNodeAdapter({
    routes: (router) => routes.forEach((add) => add(router, requests)),
    grpcWeb: false,
    connect: false,
  });
  const server = createServer((request, response) => {
    namespaces.push(request.headers["containerd-namespace"]);
    answer(request, response);
  });
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => void sessions.add(session));
  await listening(server, socket);
  const stop = new AbortController();
  const connection = openConnection({ socket }, stop.signal);
  const breakOff = (): void => sessions.forEach((session) => session.destroy());
  onTestFinished(() => {
    connection[Symbol.dispose]();
    breakOff();
    server.close();
  });
  return { ...connection, requests, namespaces, stop, breakOff };
}

/** A connection to a socket that a test made, or did not. */
export function connecting(socket: string): Connection {
  const connection = openConnection({ socket }, new AbortController().signal);
  onTestFinished(() => connection[Symbol.dispose]());
  return connection;
}
