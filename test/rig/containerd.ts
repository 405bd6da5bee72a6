import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { endContainers } from "./containers.ts";
import { endProcessesNaming } from "./processes.ts";
import { run } from "./run.ts";
import { type ConfigOptions, type ConfigPaths, containerdConfig } from "./containerd-config.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import { temporaryFolder } from "./folder.ts";
import { type CriImage, type ImageRecord, parseCriImages, parseRecords } from "./listings.ts";
import { poll } from "./poll.ts";
import { type ContainerdLine, type CrictlVersion, toolPaths } from "./tools.ts";

export interface ContainerdOptions extends ConfigOptions {
  /** A root kept from an earlier containerd; left in place by stop(). */
  root?: string;
  /** The one that the test is given; the rig itself uses the first. */
  crictl?: CrictlVersion;
}

/** How containerd reaches one registry host: what becomes its hosts.toml. */
export interface HostOptions {
  /** Where the host really is, with its scheme; by default https at the host itself. */
  server?: string;
  caFile?: string;
  /** Certificate and key in one file. */
  clientFile?: string;
  skipVerify?: boolean;
  /** Asked first; the server after it. */
  mirror?: string;
}

export interface Containerd extends AsyncDisposable {
  readonly line: ContainerdLine;
  readonly version: string;
  readonly socket: string;
  /** The temporary folder that holds everything, for files of the test as well. */
  readonly folder: string;
  readonly root: string;
  readonly certsDir: string;
  readonly crictlPath: string;
  /** What has to come first on crictl's command line to reach this containerd. */
  readonly crictlArgs: readonly string[];
  readonly ctrPath: string;
  pid(): number;
  crictl(...args: string[]): Promise<string>;
  ctr(...args: string[]): Promise<string>;
  images(): Promise<CriImage[]>;
  /** Image records, literally. */
  records(): Promise<Map<string, ImageRecord>>;
  /** Ids of leases that carry the label. */
  leases(label: string): Promise<string[]>;
  useHost(host: string, options?: HostOptions): Promise<void>;
  log(): Promise<string>;
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A containerd of one line with a private root, state and socket; resolves when its CRI answers. */
export async function startContainerd(
  line: ContainerdLine,
  options: ContainerdOptions = {},
): Promise<Containerd> {
  const folder = temporaryFolder();
  try {
    const setup = await prepare(line, folder.path, options);
    const instance = assemble(setup, await launch(setup), () => folder[Symbol.dispose]());
    const crictlPath = toolPaths(line, options.crictl).crictl;
    const version = setup.hasCri ? await serverVersion(instance) : "unknown";
    return { ...instance, crictlPath, version };
  } catch (error) {
    await endProcessesNaming(folder.path);
    folder[Symbol.dispose]();
    throw error;
  }
}

interface Setup extends ConfigPaths {
  line: ContainerdLine;
  folder: string;
  /** Whether it runs any. */
  pods: boolean;
  config: string;
  crictlConfig: string;
  logFile: string;
  hasCri: boolean;
}

async function prepare(line: ContainerdLine, folder: string, options: ContainerdOptions): Promise<Setup> {
  const setup: Setup = {
    line,
    folder,
    root: options.root ?? path.join(folder, "root"),
    state: path.join(folder, "state"),
    socket: path.join(folder, "c.sock"),
    certsDir: path.join(folder, "certs.d"),
    config: path.join(folder, "config.toml"),
    crictlConfig: path.join(folder, "crictl.yaml"),
    logFile: path.join(folder, "containerd.log"),
    pods: options.sandboxImage !== undefined,
    hasCri: options.withoutCri !== true,
  };
  await mkdir(setup.certsDir);
  await mkdir(path.join(folder, "tmp"));
  await writeFile(setup.config, containerdConfig(line, setup, options));
  // crictl reads the machine's /etc/crictl.yaml unless it is given another, and fails when that has no endpoint.
  await writeFile(
    setup.crictlConfig,
    `runtime-endpoint: unix://${setup.socket}\nimage-endpoint: unix://${setup.socket}\n`,
  );
  return setup;
}

async function launch(setup: Setup): Promise<Daemon> {
  const daemon = startDaemon(toolPaths(setup.line).containerd, ["--config", setup.config], {
    logFile: setup.logFile,
    env: {
      TMPDIR: path.join(setup.folder, "tmp"),
      PATH: `${path.dirname(toolPaths(setup.line).shim)}:${process.env["PATH"] ?? ""}`,
    },
    // Shims have their sockets there, and runc its state, whatever containerd's own folders are.
    ...(setup.pods && { privateFolders: ["/run"] }),
  });
  const ready = async (): Promise<true> => {
    if (setup.hasCri) await crictl(setup, ["--timeout", "2s", "version"]);
    else await run(toolPaths(setup.line).ctr, ["--address", setup.socket, "--timeout", "2s", "version"]);
    return true;
  };
  try {
    await poll(`containerd ${setup.line} answers`, () => (daemon.alive() ? ready() : ended(setup)), {
      bound: 30_000,
      every: 50,
    });
  } catch (error) {
    await daemon.kill();
    throw new Error(`containerd ${setup.line} did not start:\n${await lastLines(setup)}`, { cause: error });
  }
  return daemon;
}

function ended(setup: Setup): never {
  throw new Error(`containerd ${setup.line} ended`);
}

async function lastLines(setup: Setup): Promise<string> {
  return (await readFile(setup.logFile, "utf8")).split("\n").slice(-15).join("\n");
}

function crictlArgs({ crictlConfig }: Setup): string[] {
  return ["--config", crictlConfig];
}

function crictl(setup: Setup, args: readonly string[]): Promise<string> {
  return run(toolPaths(setup.line).crictl, [...crictlArgs(setup), ...args]);
}

function assemble(setup: Setup, first: Daemon, release: () => void): Omit<Containerd, "version"> {
  const { line, socket, folder, root, certsDir } = setup;
  const paths = toolPaths(line);
  let daemon = first;
  const instance = {
    line,
    socket,
    folder,
    root,
    certsDir,
    crictlPath: paths.crictl,
    crictlArgs: crictlArgs(setup),
    ctrPath: paths.ctr,
    pid: () => daemon.pid,
    crictl: (...args: string[]) => crictl(setup, ["--timeout", "30s", ...args]),
    ctr: (...args: string[]) => run(paths.ctr, ["--address", socket, "--namespace", "k8s.io", ...args]),
    images: async () => parseCriImages(await instance.crictl("images", "--output", "json")),
    records: async () => parseRecords(await instance.ctr("images", "ls")),
    leases: async (label: string) =>
      (await instance.ctr("leases", "ls"))
        .split("\n")
        .filter((row) => row.includes(`${label}=`))
        .map((row) => row.split(/\s+/)[0] ?? ""),
    useHost: (host: string, options: HostOptions = {}) => writeHosts(certsDir, host, options),
    log: () => readFile(setup.logFile, "utf8"),
    freeze: () => daemon.signal("SIGSTOP"),
    thaw: () => daemon.signal("SIGCONT"),
    kill: () => daemon.kill(),
    restart: async () => {
      await daemon.stop();
      daemon = await launch(setup);
    },
    stop: async () => {
      await daemon.stop();
      endContainers(folder);
      await endProcessesNaming(folder);
      release();
    },
    [Symbol.asyncDispose]: () => instance.stop(),
  };
  return instance;
}

async function serverVersion(instance: Omit<Containerd, "version">): Promise<string> {
  const answer = await instance.crictl("version");
  return /^RuntimeVersion:\s+v?(\S+)/m.exec(answer)?.[1] ?? "unknown";
}

async function writeHosts(certsDir: string, host: string, options: HostOptions): Promise<void> {
  const folder = path.join(certsDir, host);
  const server = options.server ?? `https://${host}`;
  const trust = [
    ...(options.caFile === undefined ? [] : [`ca = "${options.caFile}"`]),
    ...(options.clientFile === undefined ? [] : [`client = "${options.clientFile}"`]),
    ...(options.skipVerify === true ? ["skip_verify = true"] : []),
  ];
  const capabilities = `capabilities = ["pull", "resolve"]`;
  const mirror =
    options.mirror === undefined
      ? // 1.6 discards a file that has no table of hosts at all.
        ["[host]"]
      : [`[host."${options.mirror}"]`, capabilities, ...trust];
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(
    path.join(folder, "hosts.toml"),
    [`server = "${server}"`, ...trust, ...mirror, ""].join("\n"),
  );
}
