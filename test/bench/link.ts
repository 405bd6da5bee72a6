import { once } from "node:events";
import net, { type Socket } from "node:net";
import type { TokenBucket } from "../rig/token-bucket.ts";

// A fortieth of a second at 10 MB/s.
const bufferSize = 256 * 1024;

/** A slow way to a registry. */
export interface Link extends AsyncDisposable {
  readonly host: string;
}

/**
 * At the level of TCP: the fault proxy, which looks at each request, would itself be the bottleneck of twelve downloads.
 * @param ratesOf a new connection: one of its own, one that it shares with the others, or both
 */
export async function startLink(target: string, ratesOf: () => readonly TokenBucket[]): Promise<Link> {
  const [host = "", port] = target.split(":");
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy()).once("close", () => sockets.delete(socket));
  };
  const server = net.createServer({ noDelay: true }, (client) => {
    const upstream = connect({ host, port: Number(port) }, client, ratesOf());
    for (const socket of [client, upstream]) track(socket);
    client.pipe(upstream);
    client.once("close", () => upstream.destroy());
    upstream.once("close", () => client.end());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address of a TCP server");
  return {
    host: `127.0.0.1:${address.port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), "close");
    },
  };
}

// One buffer, filled again only when its content has gone out and its time has come: few large reads, and no copies.
function connect(
  target: { host: string; port: number },
  client: Socket,
  rates: readonly TokenBucket[],
): Socket {
  const forward = async (part: Uint8Array): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    client.write(part, () => resolve());
    await Promise.all([promise, ...rates.map((rate) => rate.take(part.length))]);
    upstream.resume();
  };
  const upstream = net.connect({
    ...target,
    onread: {
      buffer: Buffer.allocUnsafeSlow(bufferSize),
      callback: (bytes, buffer) => {
        void forward(buffer.subarray(0, bytes));
        return false;
      },
    },
  });
  return upstream;
}
