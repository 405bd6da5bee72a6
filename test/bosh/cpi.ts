// The CPI of the lifecycle rig: a virtual machine is the real BOSH agent, run as a process on an empty /var/vcap.
// The CLI starts it for each call with one JSON request on stdin. It must only ever run in a mount namespace whose
// /var is its own (machine.ts): create_vm and delete_vm empty /var/vcap.
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import process from "node:process";
import { poll } from "../rig/poll.ts";

/** What create_vm needs to know of the world, written by the rig. */
export interface MachineDescription {
  readonly agent: string;
  /** https URL with user and password on which the agent listens. */
  readonly mbus: string;
  readonly log: string;
  /** What a worker has beside our job, as TKGI lays it out: path below /var/vcap to where it points. */
  readonly links: Readonly<Record<string, string>>;
}

interface Request {
  readonly method: string;
  readonly arguments: readonly unknown[];
}

type Networks = Readonly<Record<string, object>>;

const base = "/var/vcap";
const pidFile = "/var/agent.pid";

const methods: Readonly<Record<string, (machine: MachineDescription, args: readonly unknown[]) => unknown>> =
  {
    info: () => ({ stemcell_formats: ["process"], api_version: 2 }),
    create_stemcell: () => "stemcell",
    delete_stemcell: () => null,
    set_vm_metadata: () => null,
    has_vm: () => agentPid() !== undefined,
    create_vm: (machine, [agentId, , , networks, , env]) =>
      createVm(machine, String(agentId), networks as Networks, env as object),
    delete_vm: deleteVm,
  };

async function createVm(
  machine: MachineDescription,
  agentId: string,
  networks: Networks,
  env: object,
): Promise<unknown> {
  await deleteVm();
  mkdirSync(path.join(base, "bosh"), { recursive: true });
  for (const [link, to] of Object.entries(machine.links)) placeLink(path.join(base, link), to);
  const configured = Object.fromEntries(
    Object.entries(networks).map(([name, network]) => [name, { ...network, preconfigured: true }]),
  );
  writeSettings(machine, agentId, configured, env);
  startAgent(machine);
  return ["vm", networks];
}

function placeLink(link: string, to: string): void {
  mkdirSync(path.dirname(link), { recursive: true });
  symlinkSync(to, link);
}

function writeSettings({ mbus }: MachineDescription, agentId: string, networks: Networks, env: object): void {
  const settings = {
    agent_id: agentId,
    mbus,
    networks,
    env,
    vm: { name: "vm", id: "vm" },
    disks: {},
    ntp: [],
    // The agent knows this path as create-env's own blobstore, behind its https endpoint.
    blobstore: { provider: "local", options: { blobstore_path: "/var/vcap/micro_bosh/data/cache" } },
  };
  const settingsPath = path.join(base, "bosh", "rig-settings.json");
  writeFileSync(settingsPath, JSON.stringify(settings));
  const sources = [{ Type: "File", SettingsPath: settingsPath }];
  writeFileSync(agentConfig, JSON.stringify({ Infrastructure: { Settings: { Sources: sources } } }));
}

const agentConfig = path.join(base, "bosh", "agent.json");

function startAgent({ agent, log }: MachineDescription): void {
  const out = openSync(log, "a");
  const child = spawn(agent, ["-P", "dummy", "-M", "dummy", "-C", agentConfig, "-b", base], {
    cwd: path.join(base, "bosh"),
    stdio: ["ignore", out, out],
    // As on a stemcell: what the CLI was started with does not reach the hooks.
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    detached: true,
  });
  closeSync(out);
  writeFileSync(pidFile, String(child.pid));
  child.unref();
}

/** The virtual machine's disk goes with it: everything below /var/vcap. */
async function deleteVm(): Promise<null> {
  const pid = agentPid();
  if (pid !== undefined) {
    process.kill(pid, "SIGKILL");
    await poll("the agent has ended", () => (isAlive(pid) ? undefined : true));
  }
  rmSync(pidFile, { force: true });
  for (const name of existsSync(base) ? readdirSync(base) : [])
    rmSync(path.join(base, name), { recursive: true });
  return null;
}

function agentPid(): number | undefined {
  if (!existsSync(pidFile)) return undefined;
  const pid = Number(readFileSync(pidFile, "utf8"));
  return isAlive(pid) ? pid : undefined;
}

// A zombie has no command line left.
function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "";
  } catch {
    return false;
  }
}

async function answer(request: Request): Promise<object> {
  const method = methods[request.method];
  if (method === undefined) {
    const error = { type: "Bosh::Clouds::NotImplemented", message: request.method, ok_to_retry: false };
    return { result: null, error, log: "" };
  }
  const machine = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as MachineDescription;
  return { result: await method(machine, request.arguments), error: null, log: "" };
}

if (import.meta.main) {
  process.stdout.write(JSON.stringify(await answer(JSON.parse(readFileSync(0, "utf8")) as Request)));
}
