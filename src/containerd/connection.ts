// The one connection to containerd's gRPC API, over its socket: bounded calls, errors with their gRPC code, closed at the end.
import { connect, type Socket } from "node:net";
import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type CallOptions, type Client } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

export interface Connection extends Disposable {
  readonly client: <Service extends DescService>(service: Service) => Client<Service>;
  /** @throws ApiError */
  readonly call: <Answer>(ask: (options: CallOptions) => Promise<Answer>) => Promise<Answer>;
  /** All of a streamed answer. @throws ApiError */
  readonly collect: <Part>(ask: (options: CallOptions) => AsyncIterable<Part>) => Promise<Part[]>;
}

export interface ConnectionSettings {
  /** Absolute path. */
  readonly socket: string;
  readonly namespace: string;
  /** Ends every call that is under way. */
  readonly signal: AbortSignal;
}

/** containerd answered with an error, or did not answer. `code` is gRPC's. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: Code;

  constructor(code: Code, message: string) {
    super(message);
    this.code = code;
  }
}

/** Milliseconds for any call: each is a read or write of a small database, but a busy disk can hold it up. */
const CALL_TIMEOUT = 30_000;
/** gRPC needs one; what counts is the socket. */
const BASE_URL = "http://localhost";

export function openConnection({ socket, namespace, signal }: ConnectionSettings): Connection {
  const sessionManager = new Http2SessionManager(BASE_URL, {}, { createConnection: () => dial(socket) });
  const transport = createGrpcTransport({ baseUrl: BASE_URL, acceptCompression: [], sessionManager });
  const options = { timeoutMs: CALL_TIMEOUT, signal, headers: { "containerd-namespace": namespace } };
  const told = (error: unknown): ApiError => toApiError(error, socket);
  return {
    client: (service) => createClient(service, transport),
    call: async (ask) =>
      ask(options).catch((error: unknown) => {
        throw told(error);
      }),
    collect: async (ask) => {
      try {
        return await Array.fromAsync(ask(options));
      } catch (error) {
        throw told(error);
      }
    },
    [Symbol.dispose]: () => sessionManager.abort(),
  };
}

/** Ended by a further signal as well. */
export const bounded = (options: CallOptions, signal: AbortSignal): CallOptions => ({
  ...options,
  signal: options.signal === undefined ? signal : AbortSignal.any([options.signal, signal]),
});

const dial = (socket: string): Socket => connect(socket);

/** What the socket's own errors mean for a caller; waiting mends all but the first. */
const SOCKET_ERRORS: Readonly<Record<string, readonly [Code, string]>> = {
  EACCES: [Code.PermissionDenied, "this user may not open it (run as root)"],
  ENOENT: [Code.Unavailable, "it does not exist"],
  ENOTSOCK: [Code.Unavailable, "it is no socket"],
  ECONNREFUSED: [Code.Unavailable, "nobody listens to it"],
  ECONNRESET: [Code.Unavailable, "the connection was closed"],
  EPIPE: [Code.Unavailable, "the connection was closed"],
};

function toApiError(error: unknown, socket: string): ApiError {
  const { code, rawMessage, cause } = ConnectError.from(error);
  const [known, why] = SOCKET_ERRORS[errnoOf(cause)] ?? [];
  if (known !== undefined) return new ApiError(known, `containerd cannot be reached at ${socket}: ${why}`);
  // A session that broke in mid-call: the daemon was stopped or killed.
  if (code === Code.Canceled || code === Code.Aborted || code === Code.Internal)
    return new ApiError(brokenCode(code, rawMessage), `containerd at ${socket}: ${rawMessage}`);
  if (code === Code.DeadlineExceeded) return new ApiError(code, `containerd at ${socket} did not answer in time`);
  return new ApiError(code, `containerd: ${rawMessage}`);
}

const brokenCode = (code: Code, message: string): Code =>
  /http\/2|http2|session|stream|socket|GOAWAY|closed|REFUSED/iu.test(message) ? Code.Unavailable : code;

function errnoOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "";
  if ("code" in cause && typeof cause.code === "string" && cause.code in SOCKET_ERRORS) return cause.code;
  return errnoOf(cause.cause);
}
