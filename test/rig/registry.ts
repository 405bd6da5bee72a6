import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { type Certificate, makeCertificate } from "./certs.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import { temporaryFolder } from "./folder.ts";
import { poll } from "./poll.ts";
import { toolPaths } from "./tools.ts";

interface Credentials {
  user: string;
  password: string;
}

/** What a client needs to know of a registry; a fault proxy in front of one is an endpoint as well. */
export interface Endpoint {
  /** 127.0.0.1 and the port. */
  readonly host: string;
  readonly scheme: "http" | "https";
  readonly caFile?: string;
  readonly auth?: Credentials;
}

interface AccessLogEntry {
  method: string;
  path: string;
  status: number;
  bytes: number;
}

export interface Registry extends Endpoint, AsyncDisposable {
  /** The access log: a request is in it once it has ended, a moment after the client has its answer. */
  requests(): Promise<AccessLogEntry[]>;
  clearRequests(): Promise<void>;
  log(): Promise<string>;
  stop(): Promise<void>;
}

export interface RegistryOptions {
  auth?: Credentials;
  tls?: boolean;
  /** Makes it a pull-through cache of the registry with this URL. */
  cacheOf?: string;
}

/** The distribution project's registry on a free loopback port, with a storage of its own. */
export async function startRegistry(options: RegistryOptions = {}): Promise<Registry> {
  const folder = temporaryFolder();
  const logFile = path.join(folder.path, "registry.log");
  let daemon: Daemon | undefined;
  const stop = async (): Promise<void> => {
    await daemon?.stop();
    folder[Symbol.dispose]();
  };
  try {
    const certificate = options.tls === true ? await makeCertificate(folder.path) : undefined;
    const config = await writeConfig(folder.path, options, certificate);
    daemon = startDaemon(toolPaths("1.7").registry, ["serve", config], {
      logFile,
      // It would look for a trace collector on this machine otherwise.
      env: { OTEL_TRACES_EXPORTER: "none" },
    });
    const host = await listeningAddress(daemon, logFile);
    return {
      ...endpoint(host, options, certificate),
      ...accessLog(logFile),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function endpoint(host: string, options: RegistryOptions, certificate: Certificate | undefined): Endpoint {
  return {
    host,
    scheme: certificate === undefined ? "http" : "https",
    ...(certificate === undefined ? {} : { caFile: certificate.caFile }),
    ...(options.auth === undefined ? {} : { auth: options.auth }),
  };
}

// JSON is YAML.
async function writeConfig(
  folder: string,
  options: RegistryOptions,
  certificate: Certificate | undefined,
): Promise<string> {
  const storage = path.join(folder, "storage");
  await mkdir(storage);
  const config = {
    version: "0.1",
    log: { level: "info", formatter: "json" },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: {
      addr: "127.0.0.1:0",
      ...(certificate && { tls: { certificate: certificate.certFile, key: certificate.keyFile } }),
    },
    ...(options.cacheOf && { proxy: { remoteurl: options.cacheOf } }),
    ...(options.auth && {
      auth: { htpasswd: { realm: "rig", path: await writePasswords(folder, options.auth) } },
    }),
  };
  const file = path.join(folder, "config.yml");
  await writeFile(file, JSON.stringify(config, undefined, 2));
  return file;
}

/** By stdin: other tests look for this password in the command lines of all processes. */
const hashed = (user: string, password: string): string =>
  execFileSync("htpasswd", ["-Bin", "-C", "4", user], {
    input: password,
    encoding: "utf8",
    stdio: ["pipe", "pipe", "ignore"],
  });

async function writePasswords(folder: string, { user, password }: Credentials): Promise<string> {
  const file = path.join(folder, "htpasswd");
  // -B: the registry knows no other hash than bcrypt. The lowest cost, for it is computed again at each request.
  await writeFile(file, hashed(user, password));
  return file;
}

// It was given port 0, and says in its log which one it took.
function listeningAddress(daemon: Daemon, logFile: string): Promise<string> {
  return poll("the registry listens", async () => {
    const log = await readFile(logFile, "utf8");
    if (!daemon.alive()) throw new Error(`the registry ended:\n${log}`);
    return /listening on (127\.0\.0\.1:\d+)/.exec(log)?.[1];
  });
}

function accessLog(logFile: string): Pick<Registry, "requests" | "clearRequests" | "log"> {
  let from = 0;
  const log = (): Promise<string> => readFile(logFile, "utf8");
  return {
    log,
    requests: async () => parseAccessLog((await log()).slice(from)),
    clearRequests: async () => {
      from = (await log()).length;
    },
  };
}

// Apache's combined format, between the lines of its own log.
const accessLine = /^\S+ - \S+ \[[^\]]+\] "([A-Z]+) (\S+) HTTP\/[\d.]+" (\d{3}) (\d+)/gm;

function parseAccessLog(log: string): AccessLogEntry[] {
  return [...log.matchAll(accessLine)].map(([, method = "", target = "", status, bytes]) => ({
    method,
    path: target,
    status: Number(status),
    bytes: Number(bytes),
  }));
}
