// From what a node holds to a list that fills an empty one: `list`, a mirror, `check` and `run`.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { type PushedImage, pushImage } from "../rig/push.ts";
import { startRegistry } from "../rig/registry.ts";
import { describeEachLine, describeReal } from "../rig/suite.ts";
import { type Agent, agentFor } from "./support/agent.ts";
import { kubeletLine, kubeletTools, startKubeletNode } from "./support/kubelet-node.ts";

interface ListedImage {
  readonly [property: string]: unknown;
  readonly name: string;
  readonly retagAs?: string | readonly string[];
}

/** Where the images of the first node come from. */
const HOSTS = ["registry.k8s.io", "quay.io", "docker.io", "r.example.com:5000"];
const COUNT = 20;
/** The last two are the first two again. */
const image = (n: number) => ({ layers: [{ bytes: 20_000, seed: `list-${n % (COUNT - 2)}` }] });

/** What `list` printed, which `check` took. */
async function listed(agent: Agent, ...args: readonly string[]): Promise<ListedImage[]> {
  const { exitCode, stdout, stderr } = await agent.exec(["list", ...args]);
  expect(exitCode, stderr).toBe(0);
  const file = path.join(agent.folder, "listed.yml");
  writeFileSync(file, stdout);
  const checked = await agent.exec(["check", file]);
  expect(checked.exitCode, checked.stdout).toBe(0);
  return (parse(stdout) as { images: ListedImage[] }).images;
}

const namesOf = ({ name, retagAs = [] }: ListedImage): string[] => [name, ...[retagAs].flat()];

/** A runtime config as an operator has it, with this list. */
const runtimeConfig = (agent: Agent, images: readonly ListedImage[]): string => {
  const job = { name: "import-images", release: "import-images", properties: agent.complete({ images }) };
  return stringify({
    releases: [{ name: "import-images", version: "1.0.0" }],
    addons: [{ name: "a", jobs: [job] }],
  });
};

/** The literal names, but for bare ids and pins, with what they lead to. */
async function digestsOf(node: Containerd): Promise<Map<string, string>> {
  const records = [...(await node.records())].filter(
    ([name]) => !/^(?:sha256:|import-images\.invalid\/)/u.test(name),
  );
  return new Map(records.map(([name, { digest }]) => [name, digest]));
}

const createContainer = (node: Containerd, name: string, id: string): Promise<string> =>
  node.ctr("containers", "create", name, id);

describeEachLine(
  "a list",
  (line) => {
    test("of 20 images under several names fills an empty node from a mirror, with the first registry off", async () => {
      await using cleanup = new AsyncDisposableStack();
      const first = cleanup.use(await startRegistry());
      const mirror = cleanup.use(await startRegistry());
      const node = cleanup.use(await startContainerd(line));
      const empty = cleanup.use(await startContainerd(line));
      for (const host of HOSTS) await node.useHost(host, { server: `http://${first.host}` });
      const pushed: PushedImage[] = [];
      for (let n = 0; n < COUNT; n += 1) {
        const made = await pushImage(first, `team-${n % 3}/app-${n % 7}:${n}`, image(n));
        pushed.push(made);
        const host = HOSTS[n % HOSTS.length]!;
        const repository = `${host}/${made.repository}`;
        const name = n % 5 === 0 ? `${repository}@${made.digest}` : `${repository}:${made.tag}`;
        await node.crictl("pull", name);
        if (n % 4 === 1) await node.ctr("images", "tag", name, `docker.io/library/own-${n}:1`);
      }
      await createContainer(node, `registry.k8s.io/${pushed[4]!.repository}:4`, "used");
      const agent = agentFor(node);
      const config = agent.write(JSON.stringify(agent.complete({ images: [] })));
      // Pins of ours are no names of images.
      await agent.run({ images: [{ name: `registry.k8s.io/${pushed[4]!.repository}:4` }] });
      agent.write(JSON.stringify(agent.complete({ images: [] })));

      const used = await listed(agent, "--in-use", "--config", config);
      expect(used).toEqual([{ name: `registry.k8s.io/${pushed[4]!.repository}:4` }]);

      const images = await listed(agent, "--config", config, "--registry", `${mirror.host}/mirror`);
      const digests = await digestsOf(node);
      expect(images).toHaveLength(new Set(digests.values()).size);
      for (const { name, ...rest } of images) {
        const [known = ""] = namesOf({ name, ...rest }).slice(1);
        const index = pushed.findIndex(({ digest }) => digest === digests.get(known));
        expect(name).toMatch(new RegExp(`^${mirror.host}/mirror/`, "u"));
        const copy = name.slice(mirror.host.length + 1).replace(/@.*$/u, ":copied");
        expect((await pushImage(mirror, copy, image(index))).digest).toBe(digests.get(known));
      }
      await first.stop();

      const other = agentFor(empty);
      const file = path.join(other.folder, "runtime-config.yml");
      writeFileSync(file, runtimeConfig(other, images));
      const ended = await other.exec(["run", "--config", file]);
      expect(ended.exitCode, ended.stderr).toBe(0);
      const arrived = await digestsOf(empty);
      expect(digests.size).toBeGreaterThan(COUNT);
      for (const [name, digest] of digests) expect(arrived.get(name), name).toBe(digest);
      for (const [index, name] of [...digests.keys()].entries())
        await createContainer(empty, name, `c-${index}`);
      expect((await other.exec(["plan", "--config", file])).stdout).toContain(": 0 to pull");
      expect((await other.exec(["status", "--config", file])).exitCode).toBe(0);
    }, 240_000);
  },
  { among: ["1.7", "2"] },
);

describeReal(
  "a list from what pods ask for",
  kubeletLine,
  () => {
    test("starts the same pods on an empty node, with the first registry off", async () => {
      await using first = await startKubeletNode();
      const names = ["team/one:1", "team/two:1", "team/three:1"];
      const pushed = await Promise.all(names.map((name) => first.push(name)));
      await first.import(
        pushed.map(({ reference }, n) => ({ name: reference, retagAs: `registry.k8s.io/pod-${n}:1` })),
      );
      const kubelet = await first.startKubelet();
      const asked = [
        pushed[0]!.reference,
        "registry.k8s.io/pod-1:1",
        `registry.k8s.io/pod-2:1@${pushed[2]!.digest}`,
      ];
      for (const [n, name] of asked.entries())
        kubelet.startPod(`pod-${n}`, name, { pullPolicy: "IfNotPresent" });
      for (const n of asked.keys()) await kubelet.runs(`pod-${n}`);
      const pods = path.join(first.agent.folder, "pods.json");
      writeFileSync(pods, await kubelet.podList());

      await using second = await startKubeletNode();
      const images = await listed(
        first.agent,
        "--from",
        pods,
        "--registry",
        `${second.registry.host}/mirror`,
      );
      expect(new Set(images.flatMap(({ retagAs = [] }) => retagAs))).toEqual(
        new Set([asked[0], asked[1], `registry.k8s.io/pod-2@${pushed[2]!.digest}`]),
      );
      const shown = [
        "--in-use",
        "--config",
        first.agent.write(JSON.stringify(first.agent.complete({ images: [] }))),
      ];
      const inUse = await listed(first.agent, ...shown);
      expect(inUse.flatMap(namesOf)).toEqual(
        expect.arrayContaining(["registry.k8s.io/pause:3.10", "registry.k8s.io/pod-1:1"]),
      );
      for (const { name, retagAs } of images) {
        const n = asked.findIndex((one) => one.replace(/:1@/u, "@") === retagAs);
        await second.push(name.slice(second.registry.host.length + 1).replace(/@.*$/u, ":copied"), names[n]);
      }
      await first.proxy.down();
      await second.import(images);
      await second.proxy.down();
      const other = await second.startKubelet();
      for (const [n, name] of asked.entries()) other.startPod(`pod-${n}`, name, { pullPolicy: "Never" });
      for (const n of asked.keys()) await other.runs(`pod-${n}`);
    }, 240_000);
  },
  kubeletTools,
);
