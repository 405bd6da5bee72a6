// The one connection to containerd's gRPC API over its socket: bounded calls, errors with their gRPC code, a new session
// after a restart of containerd, and nothing left open at the end.
//
// On node:http2 itself, because the library for it took 0.4 s more CPU of a rerun of 100 present images.
import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect } from "node:net";
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";

export interface Connection extends Disposable {
  /** @throws ApiError */
  readonly ask: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    signal?: AbortSignal,
  ) => Promise<MessageShape<O>>;
  /** All of a streamed answer. @throws ApiError */
  readonly collect: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal?: AbortSignal,
  ) => Promise<MessageShape<O>[]>;
}

export interface ConnectionSettings {
  /** Absolute path. */
  readonly socket: string;
  readonly namespace: string;
  /** Ends every call that is under way. */
  readonly signal: AbortSignal;
}

/** gRPC's codes, as far as anything is decided by them. */
export const CODE = {
  cancelled: 1,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/** containerd answered with an error, or did not answer. `code` is gRPC's. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** For an error that is as good as an answer. */
export const unlessCode =
  (code: number) =>
  (error: unknown): void => {
    if (!(error instanceof ApiError) || error.code !== code) throw error;
  };

/** Milliseconds for any call: each is a read or write of a small database, but a busy disk can hold it up. */
const CALL_TIMEOUT = 30_000;
/** Bytes that may be under way: lists of a large node come in one piece. */
const WINDOW = 8 * 2 ** 20;

export function openConnection(settings: ConnectionSettings): Connection {
  const session = sessions(settings.socket);
  const frames = async (
    { name, parent, input }: DescMethodUnary | DescMethodServerStreaming,
    request: MessageInitShape<DescMessage>,
    signal = settings.signal,
  ): Promise<Uint8Array[]> => {
    const bounds = AbortSignal.any([signal, settings.signal]);
    const body = toBinary(input, create(input, request));
    return unframed(
      await exchange(session, settings, { path: `/${parent.typeName}/${name}`, body, signal: bounds }),
    );
  };
  return {
    ask: async (method, request, signal) => {
      const [answer = new Uint8Array()] = await frames(method, request, signal);
      return fromBinary(method.output, answer);
    },
    collect: async (method, request, signal) =>
      (await frames(method, request, signal)).map((frame) => fromBinary(method.output, frame)),
    [Symbol.dispose]: session.end,
  };
}

interface Sessions {
  /** The one that is open, or a new one. */
  readonly get: () => ClientHttp2Session;
  readonly end: () => void;
}

function sessions(socket: string): Sessions {
  let open: ClientHttp2Session | undefined;
  const get = (): ClientHttp2Session => {
    if (open !== undefined && !open.closed && !open.destroyed) return open;
    const session = connectHttp2("http://localhost", {
      createConnection: () => connect(socket),
      settings: { initialWindowSize: WINDOW, enablePush: false },
    });
    // Each call that it breaks is told of it.
    session.on("error", () => {});
    session.on("connect", () => session.setLocalWindowSize(WINDOW));
    return (open = session);
  };
  return { get, end: () => open?.destroy() };
}

interface Call {
  /** `/service/method` */
  readonly path: string;
  readonly body: Uint8Array;
  readonly signal: AbortSignal;
}

/** Sends one message. @returns the body of the answer: framed messages, none or several */
function exchange(
  session: Sessions,
  { socket, namespace }: ConnectionSettings,
  { path, body, signal }: Call,
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const stream = begin(session, socket, {
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    "grpc-timeout": `${CALL_TIMEOUT}m`,
    "containerd-namespace": namespace,
  });
  const chunks: Buffer[] = [];
  let status: IncomingHttpHeaders = {};
  // At once: a stream to a frozen containerd may take its time to close.
  const end = (code: number, why: string): void => {
    reject(new ApiError(code, `containerd at ${socket} ${why}`));
    stream.close(constants.NGHTTP2_CANCEL);
  };
  const timer = setTimeout(() => end(CODE.deadlineExceeded, "did not answer in time"), CALL_TIMEOUT);
  const onAbort = (): void => end(CODE.cancelled, "was not waited for");
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  stream.on("response", (headers) => (status = headers));
  stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
  stream.on("trailers", (trailers) => (status = trailers));
  // What it means is told by what broke the session, or by the lack of a status.
  let cause: unknown;
  stream.on("error", (error) => (cause = error.cause ?? error));
  stream.on("close", () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    const error = status["grpc-status"] === undefined ? broken(socket, cause) : errorOf(status);
    if (error === undefined) resolve(Buffer.concat(chunks));
    else reject(error);
  });
  stream.end(framed(body));
  return promise;
}

/** @throws ApiError for a session that broke since it was looked at */
function begin(session: Sessions, socket: string, headers: OutgoingHttpHeaders): ClientHttp2Stream {
  try {
    return session.get().request(headers);
  } catch (cause) {
    throw broken(socket, cause);
  }
}

function errorOf({
  "grpc-status": status = "0",
  "grpc-message": message = "",
}: IncomingHttpHeaders): ApiError | undefined {
  if (status === "0") return undefined;
  return new ApiError(Number(status), `containerd: ${decoded(String(message))}`);
}

/** gRPC escapes as URLs do; what does not follow that is told as it is. */
function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

/** What the socket's own errors mean; waiting mends all but the first. */
const SOCKET_ERRORS: Readonly<Record<string, string>> = {
  EACCES: "this user may not open it (run as root)",
  ENOENT: "it does not exist",
  ENOTSOCK: "it is no socket",
  ECONNREFUSED: "nobody listens to it",
};

function broken(socket: string, cause: unknown): ApiError {
  const errno = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const code = errno === "EACCES" ? CODE.permissionDenied : CODE.unavailable;
  const why = SOCKET_ERRORS[errno] ?? "the connection was closed";
  return new ApiError(code, `containerd cannot be reached at ${socket}: ${why}`);
}

/** One byte for no compression, four of length. */
const HEADER = 5;

function framed(body: Uint8Array): Buffer {
  const frame = Buffer.alloc(HEADER + body.length);
  frame.writeUInt32BE(body.length, 1);
  frame.set(body, HEADER);
  return frame;
}

function unframed(body: Buffer): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let at = 0; at + HEADER <= body.length;) {
    const next = at + HEADER + body.readUInt32BE(at + 1);
    frames.push(body.subarray(at + HEADER, next));
    at = next;
  }
  return frames;
}
