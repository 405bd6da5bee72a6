// `bosh create-env` with the real CLI, agent, renderer and compilation, on a machine of machine.ts.
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import process from "node:process";
import { type Certificate, makeCertificate } from "../rig/certs.ts";
import { type Folder, temporaryFolder } from "../rig/folder.ts";
import { run } from "../rig/run.ts";
import { toolPaths } from "../rig/tools.ts";
import { agentClient, type AgentClient } from "./agent-client.ts";
import type { MachineDescription } from "./cpi.ts";
import { type Machine, type Result, startMachine } from "./machine.ts";

export type Properties = Readonly<Record<string, unknown>>;

export interface Worker {
  readonly crictl: string;
  readonly ctr: string;
  /** containerd's socket. */
  readonly socket: string;
}

export interface Environment extends AsyncDisposable {
  readonly machine: Machine;
  readonly agent: AgentClient;
  createEnv(properties: Properties, ...options: readonly string[]): Promise<Result>;
  deleteEnv(): Promise<Result>;
  /** A file below /var/vcap of the worker. */
  vcap(file: string): Promise<string>;
  /** The agent's own log. */
  agentLog(): Promise<string>;
}

interface Setup {
  readonly folder: string;
  readonly release: string;
  readonly cpi: string;
  readonly stemcell: string;
  readonly mbus: string;
  readonly certificate: Certificate;
  readonly description: string;
}

/** @param release tarball of the release under test */
export async function startEnvironment(release: string, worker: Worker): Promise<Environment> {
  const folder = temporaryFolder();
  try {
    const setup = await prepare(folder.path, release, worker);
    return assemble(setup, folder, await startMachine(folder.path));
  } catch (error) {
    folder[Symbol.dispose]();
    throw error;
  }
}

function assemble(setup: Setup, folder: Folder, machine: Machine): Environment {
  const bosh = (...args: readonly string[]): Promise<Result> =>
    // With a terminal's output, or it prints nothing but errors.
    machine.run(toolPaths("1.7").bosh, ["--tty", "--no-color", "--non-interactive", ...args], {
      HOME: setup.folder,
      PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    });
  const files = [path.join(setup.folder, "manifest.yml"), "--state", path.join(setup.folder, "state.json")];
  return {
    machine,
    agent: agentClient(setup.mbus, setup.certificate.caFile),
    createEnv: async (properties, ...options) => {
      await writeManifest(setup, properties);
      return bosh("create-env", ...files, ...options);
    },
    deleteEnv: () => bosh("delete-env", ...files),
    vcap: (file) => read(machine, path.join("/var/vcap", file)),
    agentLog: () => readFile(path.join(setup.folder, "agent.log"), "utf8"),
    [Symbol.asyncDispose]: async () => {
      await machine[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

// Not by machine.inside: /var/vcap/sys is a link to an absolute path, which from outside leads out of the machine.
async function read(machine: Machine, file: string): Promise<string> {
  const { code, output } = await machine.run("cat", [file]);
  if (code !== 0) throw new Error(output);
  return output;
}

async function prepare(folder: string, release: string, worker: Worker): Promise<Setup> {
  const mbus = `https://mbus:mbus-password@127.0.0.1:${await freePort()}`;
  const description = path.join(folder, "machine.json");
  await writeFile(description, JSON.stringify(describe(folder, mbus, worker)));
  return {
    folder,
    release,
    mbus,
    description,
    cpi: await createRelease(path.join(import.meta.dirname, "cpi-release"), folder),
    stemcell: await makeStemcell(folder),
    certificate: await makeCertificate(path.join(folder, "mbus")),
  };
}

// Where TKGI has them, so that a runtime config without a word about containerd finds it.
function describe(folder: string, mbus: string, { crictl, ctr, socket }: Worker): MachineDescription {
  return {
    agent: toolPaths("1.7").boshAgent,
    mbus,
    log: path.join(folder, "agent.log"),
    links: {
      "packages/containerd/bin/crictl": crictl,
      "packages/containerd/bin/ctr": ctr,
      "data/sys/run/containerd/containerd.sock": socket,
    },
  };
}

/** A copy is built, because the CLI writes what it builds into the release directory. */
async function createRelease(directory: string, folder: string): Promise<string> {
  const copy = path.join(folder, "cpi-release");
  await cp(directory, copy, { recursive: true });
  const tarball = path.join(folder, "cpi.tgz");
  // The CLI keeps its installations in the home folder.
  const bosh = [`HOME=${folder}`, toolPaths("1.7").bosh, "--non-interactive"];
  await run("env", [...bosh, "create-release", "--dir", copy, "--tarball", tarball]);
  return tarball;
}

async function makeStemcell(folder: string): Promise<string> {
  const content = path.join(folder, "stemcell");
  await mkdir(content);
  const manifest = {
    name: "process",
    version: "1",
    operating_system: "ubuntu-jammy",
    sha1: "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    bosh_protocol: "1",
    api_version: 2,
    stemcell_formats: ["process"],
    cloud_properties: {},
  };
  await writeFile(path.join(content, "stemcell.MF"), JSON.stringify(manifest));
  await writeFile(path.join(content, "image"), "");
  const tarball = path.join(folder, "stemcell.tgz");
  await run("tar", ["-czf", tarball, "-C", content, "stemcell.MF", "image"]);
  await rm(content, { recursive: true });
  return tarball;
}

// JSON is YAML.
async function writeManifest(setup: Setup, properties: Properties): Promise<void> {
  const { caFile, certFile, keyFile } = setup.certificate;
  const [ca, certificate, private_key] = await Promise.all(
    [caFile, certFile, keyFile].map((file) => readFile(file, "utf8")),
  );
  const manifest = {
    name: "worker",
    releases: [
      { name: "import-images", url: `file://${setup.release}` },
      { name: "process-cpi", url: `file://${setup.cpi}` },
    ],
    networks: [{ name: "default", type: "dynamic" }],
    resource_pools: [
      {
        name: "workers",
        network: "default",
        stemcell: { url: `file://${setup.stemcell}` },
        cloud_properties: {},
        env: { bosh: { mbus: { cert: { ca, certificate, private_key } } } },
      },
    ],
    instance_groups: [
      {
        name: "worker",
        instances: 1,
        resource_pool: "workers",
        networks: [{ name: "default" }],
        jobs: [{ name: "import-images", release: "import-images", properties }],
      },
    ],
    cloud_provider: {
      template: { name: "cpi", release: "process-cpi" },
      mbus: setup.mbus,
      cert: { ca },
      properties: {
        process_cpi: {
          node: process.execPath,
          program: path.join(import.meta.dirname, "cpi.ts"),
          machine: setup.description,
        },
      },
    },
  };
  await writeFile(path.join(setup.folder, "manifest.yml"), JSON.stringify(manifest, undefined, 2));
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
