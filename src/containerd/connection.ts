// The one connection to containerd's gRPC API: calls with a time limit, errors with their gRPC code, and a new session
// after a restart. On node:http2, because the gRPC library took 0.4 s more CPU for a rerun of 100 present images.
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from "node:http2";
import { connect } from "node:net";
import type { ContainerdConfig } from "../config/config.ts";
import { CODE } from "../core/failure.ts";
import { codeOf } from "../core/plain-text.ts";

/** A method as the generated code describes it. */
export interface Method<Request, Answer> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (message: Buffer) => Answer;
}

/** Every call throws ApiError. */
export type Connection = ReturnType<typeof openConnection>;

/** containerd returned an error, or did not answer. `code` is gRPC's. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Error handler for `catch`: ignores this code, which is as good as an answer, and rethrows all other errors. */
export const unlessCode =
  (code: number) =>
  (error: unknown): void => {
    if (!(error instanceof ApiError) || error.code !== code) throw error;
  };

/** Milliseconds per call. Each reads or writes a small database, but a busy disk can delay it. */
const CALL_TIMEOUT = 30_000;
/** CRI's only namespace: the kubelet cannot use an image outside it. */
export const NAMESPACE = "k8s.io";
/** HTTP/2 window in bytes: the lists of a large node arrive in one piece. */
const WINDOW = 8 * 2 ** 20;

/** @param lifetime ends every call */
export function openConnection({ socket }: Pick<ContainerdConfig, "socket">, lifetime: AbortSignal) {
  let session: ClientHttp2Session | undefined;
  /** Sends one message. @returns the messages of the answer */
  const exchange = async <Request, Answer>(
    { path, requestSerialize, responseDeserialize }: Method<Request, Answer>,
    request: Request,
    signal?: AbortSignal,
  ): Promise<Answer[]> => {
    const bounds = signal === undefined ? lifetime : AbortSignal.any([signal, lifetime]);
    const headers = {
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      "grpc-timeout": `${CALL_TIMEOUT}m`,
      "containerd-namespace": NAMESPACE,
    };
    let status: IncomingHttpHeaders = {};
    const note = (received: IncomingHttpHeaders): void => void (status = received);
    try {
      if (session === undefined || session.closed || session.destroyed) session = openSession(socket);
      const stream = session.request(headers, { signal: bounds });
      stream.on("response", note).on("trailers", note);
      stream.end(framed(requestSerialize(request)));
      const answer = await contentOf(stream, socket);
      if (status["grpc-status"] === "0") return unframed(answer).map(responseDeserialize);
      throw new Error("the answer has no end");
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      if (bounds.aborted) throw new ApiError(CODE.cancelled, `containerd at ${socket} was not waited for`);
      throw errorOf(status) ?? broken(socket, cause, status);
    }
  };
  return {
    /** For an answer of one message. */
    ask: async <Request, Answer>(
      method: Method<Request, Answer>,
      request: Request,
      signal?: AbortSignal,
    ): Promise<Answer> => {
      const [answer = method.responseDeserialize(Buffer.alloc(0))] = await exchange(method, request, signal);
      return answer;
    },
    /** For a streamed answer. */
    collect: exchange,
    [Symbol.dispose]: () => session?.destroy(),
  };
}

/** Reads an answer within its time limit. Not with node:stream/consumers: its Blob takes a quarter of a call's CPU. */
function contentOf(stream: ClientHttp2Stream, socket: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  const late = new ApiError(CODE.deadlineExceeded, `containerd at ${socket} did not answer in time`);
  const timer = setTimeout(() => stream.destroy(late), CALL_TIMEOUT);
  return new Promise<Buffer>((resolve, reject) => {
    stream
      .on("data", (part: Buffer) => void parts.push(part))
      .on("error", reject)
      .on("close", () => resolve(Buffer.concat(parts)));
  }).finally(() => clearTimeout(timer));
}

function openSession(socket: string): ClientHttp2Session {
  const session = connectHttp2("http://localhost", {
    createConnection: () => connect(socket),
    settings: { initialWindowSize: WINDOW },
  });
  // Every call that this breaks receives the error too.
  session.on("error", () => {});
  // The session may already be destroyed when this event arrives.
  session.on("connect", () => session.destroyed || session.setLocalWindowSize(WINDOW));
  return session;
}

/** The error that containerd returned; undefined if the answer contains none. */
function errorOf({ "grpc-status": status, "grpc-message": message = "" }: IncomingHttpHeaders) {
  if (status === undefined || status === "0") return undefined;
  return new ApiError(Number(status), `containerd: ${decoded(String(message))}`);
}

/** gRPC encodes messages as URLs do; anything else is returned as it is. */
function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

/** Node's code for a server that does not speak HTTP/2. */
const FOREIGN = "ERR_HTTP2_ERROR";

/** Meaning of socket and session errors. Waiting can resolve all but the first. */
const SOCKET_ERRORS: Readonly<Record<string, string>> = {
  EACCES: "this user may not open it (run as root)",
  ENOENT: "it does not exist",
  ENOTSOCK: "it is no socket",
  ECONNREFUSED: "nobody listens to it",
  [FOREIGN]: "what answers there does not speak containerd's API (gRPC)",
};

/** Finds the reason in what broke the session, or in an answer that is not gRPC or is missing. */
function broken(socket: string, error: unknown, answer: IncomingHttpHeaders): ApiError {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const isUnread = answer["grpc-status"] === "0";
  const isForeign = ":status" in answer && !answer["content-type"]?.startsWith("application/grpc");
  const errno = isUnread || isForeign ? FOREIGN : (codeOf(cause) ?? "");
  const code = errno === "EACCES" ? CODE.permissionDenied : CODE.unavailable;
  const why = SOCKET_ERRORS[errno] ?? "the connection was closed";
  return new ApiError(code, `containerd cannot be reached at ${socket}: ${why}`);
}

/** One byte for no compression, four for the length. */
const HEADER = 5;

function framed(body: Buffer): Buffer {
  const frame = Buffer.alloc(HEADER + body.length);
  frame.writeUInt32BE(body.length, 1);
  frame.set(body, HEADER);
  return frame;
}

function unframed(body: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < body.length;) {
    const next = at + HEADER + body.readUInt32BE(at + 1);
    frames.push(body.subarray(at + HEADER, next));
    at = next;
  }
  return frames;
}
