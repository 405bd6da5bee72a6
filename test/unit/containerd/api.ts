// A gRPC server on a unix socket, of which a test writes the answers.
import {
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import path from "node:path";
import {
  create,
  fromBinary,
  toBinary,
  toJson,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { onTestFinished } from "vitest";
import { CODE, openConnection, type Connection } from "../../../src/containerd/connection.ts";

/** An answer with a code other than 0. */
export class Refused extends Error {
  readonly code: number;

  constructor(code: number, message = "no") {
    super(message);
    this.code = code;
  }
}

/** Answers a request with messages, encoded. @param requests to which it adds what was asked */
type Handler = (body: Uint8Array, requests: unknown[]) => Promise<Uint8Array[]>;

export interface Route {
  readonly path: string;
  readonly handler: Handler;
}

/** What a method answers: one message, or several where it streams; it may throw `Refused`. */
export const route = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O> | DescMethodServerStreaming<I, O>,
  answer: (request: MessageShape<I>) => MessageInitShape<O>[] | Promise<MessageInitShape<O>[]>,
): Route => ({
  path: `/${method.parent.typeName}/${method.name}`,
  handler: async (body, requests) => {
    const request = fromBinary(method.input, body);
    requests.push([method.input.name, toJson(method.input, request)]);
    return (await answer(request)).map((message) => toBinary(method.output, create(method.output, message)));
  },
});

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

/** @param folder for its socket @returns a connection to it, both closed when the test is over */
export async function serving(folder: string, routes: readonly Route[]): Promise<Serving> {
  const socket = path.join(folder, `api-${(count += 1)}.sock`);
  const [requests, namespaces]: [unknown[], unknown[]] = [[], []];
  const server = createServer((request, response) => {
    namespaces.push(request.headers["containerd-namespace"]);
    const handler = routes.find((each) => each.path === request.url)?.handler;
    void respond(request, response, (body) => handler?.(body, requests));
  });
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => void sessions.add(session));
  await new Promise<void>((resolve) => void server.listen(socket, resolve));
  const stop = new AbortController();
  const connection = openConnection({ socket, namespace: "k8s.io", signal: stop.signal });
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
  const connection = openConnection({ socket, namespace: "k8s.io", signal: new AbortController().signal });
  onTestFinished(() => connection[Symbol.dispose]());
  return connection;
}

/** Bytes before a message: none of compression, four of length. */
const HEADER = 5;
const framed = (message: Uint8Array): Buffer => {
  const header = Buffer.alloc(HEADER);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
};

/** An error before any message comes without a body, its status among the headers. */
async function respond(
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  handle: (body: Uint8Array) => Promise<Uint8Array[]> | undefined,
): Promise<void> {
  const type = { "content-type": "application/grpc" };
  try {
    const body = Buffer.concat(await Array.fromAsync<Buffer>(request));
    const messages = await handle(body.subarray(HEADER));
    if (messages === undefined) throw new Refused(CODE.unimplemented, "unknown service");
    response.writeHead(200, type);
    for (const message of messages) response.write(framed(message));
    response.addTrailers({ "grpc-status": "0" });
    response.end();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    response.writeHead(200, {
      ...type,
      "grpc-status": String(error.code),
      "grpc-message": encodeURIComponent(error.message),
    });
    response.end();
  }
}
