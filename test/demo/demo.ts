// The demonstration behind scripts/demo: what an operator's list does to a node.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { startContainerd, type Containerd } from "../rig/containerd.ts";
import { startKubelet } from "../rig/kubelet.ts";
import { pushImage } from "../rig/push.ts";
import { startRegistry, type Registry } from "../rig/registry.ts";
import { containerdLines } from "../rig/tools.ts";

const executable = path.resolve(import.meta.dirname, "../../dist/import-images");
const account = { user: "robot", password: "demo-password" };

const line = containerdLines.find((known) => known === process.argv[2]) ?? "1.7";
const withPod = process.argv.includes("--pod");
/** What containerd starts each pod with. */
const sandboxImage = "registry.k8s.io/pause:3.10";

await using containerd = await startContainerd(line, withPod ? { sandboxImage } : {});
await using registry = await startRegistry({ auth: account });

say(
  `a private registry at ${registry.host} asks for a password; ${withPod ? "four" : "three"} images are pushed to it`,
);
const config = await makeConfig(registry, containerd);
say(`the list, ${config.file}:\n${config.shown}`);

say("first run: everything is pulled, named, pinned and verified");
agent("run");
say("second run: nothing is asked of the registry");
const before = (await registry.requests()).length;
agent("run");
say(`requests that the registry saw in the second run: ${(await registry.requests()).length - before}`);

say("what is on the node now, as crictl sees it");
console.log(table(await containerd.images()));
if (withPod) await showPod("registry.k8s.io/debian-base:v2.0.0");

async function makeConfig(from: Registry, to: Containerd): Promise<{ file: string; shown: string }> {
  const base = { bytes: 4_000_000, seed: 1 };
  const shell = { busybox: true } as const;
  const debian = await pushImage(from, "team/debian-base:v2.0.0", { layers: [shell, base] });
  const nginx = await pushImage(from, "team/nginx:1.29", { layers: [base, { bytes: 8_000_000, seed: 2 }] });
  const app = await pushImage(from, "team/app:7", {
    layers: [base, { files: 200, fileBytes: 2_000, seed: 3 }],
  });
  const pause = await pushImage(from, "team/pause:3.10", {
    layers: [shell],
    command: ["/bin/sleep", "1000000"],
  });
  const written = {
    registries: [{ host: from.host, username: account.user, password: account.password }],
    images: [
      { name: debian.reference, retagAs: "registry.k8s.io/debian-base:v2.0.0" },
      { name: nginx.reference, retagAs: ["nginx:1.29", "docker.io/library/nginx:stable"] },
      { name: `${from.host}/${app.repository}@${app.digest}`, retagAs: "registry.example.com/app:7" },
      ...(withPod ? [{ name: pause.reference, retagAs: sandboxImage }] : []),
    ],
    containerd: { crictl: to.crictlPath, ctr: to.ctrPath, socket: to.socket },
  };
  const file = path.join(to.folder, "config.json");
  writeFileSync(file, JSON.stringify(written), { mode: 0o600 });
  return { file, shown: JSON.stringify(written, null, 2).replace(account.password, "********") };
}

function agent(...args: string[]): void {
  const directories = {
    IMPORT_IMAGES_LOG_DIR: path.join(containerd.folder, "log"),
    IMPORT_IMAGES_STATE_DIR: path.join(containerd.folder, "state"),
  };
  const argv = [...args, "--config", path.join(containerd.folder, "config.json")];
  console.log(`$ import-images ${argv.join(" ")}`);
  const { status } = spawnSync(executable, argv, {
    stdio: "inherit",
    env: { ...process.env, ...directories },
  });
  if (status !== 0) throw new Error(`import-images ended with ${status}`);
}

async function showPod(image: string): Promise<void> {
  say("the registry goes off, and a kubelet starts a pod that may pull nothing");
  await registry.stop();
  await using kubelet = await startKubelet(containerd);
  const lines = [`image: ${image}, imagePullPolicy: Never`, "what the pod prints:"];
  console.log(lines.join("\n"));
  kubelet.startPod("demo", image, {
    pullPolicy: "Never",
    script: `echo "hello from a pod of ${image}, whose /bin has" $(ls /bin)`,
  });
  await kubelet.runs("demo");
  console.log((await kubelet.output("demo")).trimEnd());
}

function table(images: Awaited<ReturnType<Containerd["images"]>>): string {
  const rows = images.flatMap((image) =>
    image.repoTags.map(
      (tag) => `${tag.padEnd(50)} ${image.id.slice(0, 19)} ${image.pinned ? "pinned" : "not pinned"}`,
    ),
  );
  return rows.toSorted().join("\n");
}

function say(text: string): void {
  console.log(`\n# ${text}`);
}
