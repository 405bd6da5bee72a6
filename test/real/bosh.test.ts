import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bashPostStart, type BashImage } from "../bosh/bash-release.ts";
import { type Environment, type Properties, startEnvironment, type Worker } from "../bosh/environment.ts";
import { copyReleaseTree, finishedBuild, tarballOf } from "../bosh/release.ts";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { type FaultProxy, startFaultProxy } from "../rig/fault-proxy.ts";
import { type Folder, temporaryFolder } from "../rig/folder.ts";
import { pushImage, type PushedImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { describeReal } from "../rig/suite.ts";
import { namesOn, pinPrefix } from "./support/node.ts";
import { lastLine } from "./support/agent.ts";

// TKGI's line that knows pins.
const line = "1.6";
const logs = "sys/log/import-images";
const credentials = { user: "robot", password: "swordfish-of-the-deep" };
const auth = Buffer.from(`${credentials.user}:${credentials.password}`).toString("base64");

let folder: Folder;
let release: string;
let registry: Registry;

const push = (name: string): Promise<PushedImage> =>
  pushImage(registry, name, { layers: [{ bytes: 200_000, seed: name }] });

function workerOf({ crictlPath, ctrPath, socket }: Containerd): Worker {
  return { crictl: crictlPath, ctr: ctrPath, socket };
}

/** Every tag that CRI knows, with whether a record of ours pins it, to CRI as well. */
const tags = async (containerd: Containerd): Promise<Record<string, boolean>> =>
  Object.fromEntries(
    [...(await namesOn(containerd))]
      .filter(([name]) => !name.includes("@"))
      .map(([name, { pinned, ours }]) => [name, pinned && ours]),
  );

/** Every name on the node, by containerd's own account. */
const names = async (containerd: Containerd): Promise<string[]> =>
  [...(await containerd.records()).keys()].toSorted();

interface Node extends AsyncDisposable {
  readonly containerd: Containerd;
  readonly environment: Environment;
}

async function startNode(): Promise<Node> {
  const containerd = await startContainerd(line);
  const environment = await startEnvironment(release, workerOf(containerd));
  const stop = async (): Promise<void> => {
    await environment[Symbol.asyncDispose]();
    await containerd.stop();
  };
  return { containerd, environment, [Symbol.asyncDispose]: stop };
}

async function expectDeployed(
  environment: Environment,
  properties: Properties,
  ...options: readonly string[]
): Promise<void> {
  const { code, output } = await environment.createEnv(properties, ...options);
  expect(code, output).toBe(0);
}

describeReal(
  "the release in BOSH's hands",
  line,
  () => {
    beforeAll(async () => {
      folder = temporaryFolder();
      const tree = await copyReleaseTree(folder.path, finishedBuild());
      await tree.create("--version", "1.0.0");
      release = tarballOf(tree);
      registry = await startRegistry({ auth: credentials });
    }, 300_000);

    afterAll(async () => {
      await registry.stop();
      folder[Symbol.dispose]();
    });

    describe("a worker through its life", () => {
      let node: Node;
      let first: PushedImage;
      let leaving: PushedImage;
      let later: PushedImage;
      const registries = (): Properties[] => [
        { host: registry.host, username: credentials.user, password: credentials.password },
      ];

      beforeAll(async () => {
        [first, leaving, later] = await Promise.all([
          push("life/first:1"),
          push("life/leaving:1"),
          push("life/later:1"),
        ]);
        node = await startNode();
      });
      afterAll(() => node[Symbol.asyncDispose]());

      const images = (): Properties[] => [
        { name: first.reference, retagAs: ["registry.k8s.io/first:1", "first"] },
        { name: later.reference, auth },
      ];

      test("has the images under all their names, pinned, when it is created", async () => {
        const { environment, containerd } = node;
        await expectDeployed(environment, {
          registries: registries(),
          images: [
            { name: first.reference, retagAs: "registry.k8s.io/first:1" },
            { name: leaving.reference },
          ],
        });
        expect(await tags(containerd)).toEqual({
          [first.reference]: true,
          [leaving.reference]: true,
          "registry.k8s.io/first:1": true,
        });
      });

      test("has its logs where BOSH collects them, and its state beside", async () => {
        const { environment } = node;
        expect(await environment.vcap(`${logs}/post-start.stdout.log`)).toContain(first.reference);
        const events = (await environment.vcap(`${logs}/import-images.log`)).trimEnd().split("\n");
        for (const event of events) expect(JSON.parse(event)).toHaveProperty("time");
        expect(JSON.parse(await environment.vcap("data/import-images/status.json"))).toMatchObject({});
      });

      test("has its secrets in config.json and nowhere else", async () => {
        const { machine } = node.environment;
        const spellings = [auth, credentials.password].flatMap((secret) => ["-e", secret]);
        const found = await machine.run("grep", ["-rlF", ...spellings, "/var/vcap"]);
        // The agent keeps each version of a job under data/jobs; jobs/ links to the one in use.
        const job = /^\/var\/vcap\/data\/jobs\/import-images\/[^/]+\/config\/config\.json$/u;
        expect(found.output.trim().split("\n")).toEqual([expect.stringMatching(job)]);
        expect(await node.environment.agentLog()).not.toContain(credentials.password);
      });

      test("gets only what is new when the list changes, and loses the pins of what left", async () => {
        const { environment, containerd } = node;
        await registry.clearRequests();
        await expectDeployed(environment, { registries: registries(), images: images() });
        expect(await tags(containerd)).toEqual({
          [first.reference]: true,
          [later.reference]: true,
          [leaving.reference]: false,
          "docker.io/library/first:latest": true,
          "registry.k8s.io/first:1": true,
        });
        const asked = (await registry.requests()).map((request) => request.path);
        expect(asked.filter((path) => path.includes("life/later"))).not.toEqual([]);
        expect(asked.filter((path) => path.includes("life/first"))).toEqual([]);
      });

      test("has everything again when it is replaced by an empty one", async () => {
        const { environment, containerd } = node;
        await containerd.ctr("images", "rm", "--sync", ...(await names(containerd)));
        expect(await tags(containerd)).toEqual({});
        await expectDeployed(environment, { registries: registries(), images: images() }, "--recreate");
        expect(await tags(containerd)).toEqual({
          [first.reference]: true,
          [later.reference]: true,
          "docker.io/library/first:latest": true,
          "registry.k8s.io/first:1": true,
        });
      });

      test("leaves no process behind when it is deleted", async () => {
        const { code, output } = await node.environment.deleteEnv();
        expect(code, output).toBe(0);
        expect(await node.environment.machine.processes()).toEqual([]);
      });
    });

    describe("an image that cannot be had", () => {
      let node: Node;
      let there: PushedImage;
      const missing = (): string => `${registry.host}/fails/missing:1`;
      const images = (): Properties[] => [
        { name: missing(), auth, retagAs: "registry.k8s.io/missing:1" },
        { name: there.reference, auth },
      ];

      beforeAll(async () => {
        there = await push("fails/there:1");
        node = await startNode();
      });
      afterAll(() => node[Symbol.asyncDispose]());

      test("fails the deploy, and the last line of stderr says which, why and what to do", async () => {
        const { environment, containerd } = node;
        const { code, output } = await environment.createEnv({ images: images() });
        expect(code).toBe(1);
        expect(output).toContain("1 of 1 post-start scripts failed. Failed Jobs: import-images.");
        const reason = lastLine(await environment.vcap(`${logs}/post-start.stderr.log`));
        expect(reason).toContain(missing());
        expect(reason).toContain("not-found");
        expect(reason).toContain("push the image to the registry");
        expect(await tags(containerd)).toEqual({ [there.reference]: true });
      });

      test("is only reported under on_failure: warn", async () => {
        const { environment } = node;
        await expectDeployed(environment, { images: images(), on_failure: "warn" });
        const said = await environment.vcap(`${logs}/post-start.stderr.log`);
        expect(said).toContain(missing());
        expect(said).toContain("not-found");
      });

      test("is there after the next deploy once the registry has it", async () => {
        const { environment, containerd } = node;
        await push("fails/missing:1");
        await expectDeployed(environment, { images: images() });
        expect(await tags(containerd)).toEqual({
          [missing()]: true,
          [there.reference]: true,
          "registry.k8s.io/missing:1": true,
        });
      });

      test("in a property of the wrong kind is named by its index, by the CLI's own renderer, and not repeated", async () => {
        const { code, output } = await node.environment.createEnv({
          images: [
            { name: there.reference, auth },
            { name: there.reference, retagAs: { [auth]: auth } },
          ],
        });
        expect(code).toBe(1);
        expect(output).toContain("images[1].retagAs: must be an image reference");
        expect(output).not.toContain(auth);
      });
    });

    describe("a runtime config of the bash release", () => {
      let node: Node;
      let bash: Containerd;
      let proxy: FaultProxy;
      let large: PushedImage;
      let images: readonly BashImage[];

      beforeAll(async () => {
        proxy = await startFaultProxy(registry);
        large = await pushImage(registry, "bash/base:v2.0.0", {
          layers: [{ bytes: 4_000_000, seed: "large" }],
        });
        await Promise.all(["bash/agent:3.0.4", "bash/nginx"].map(push));
        images = [
          { name: `${proxy.host}/bash/base:v2.0.0`, auth, retagAs: "registry.k8s.io/base:v2.0.0" },
          { name: `${proxy.host}/bash/agent:3.0.4`, auth, retagAs: "" },
          { name: `${proxy.host}/bash/nginx`, auth },
        ];
        [node, bash] = await Promise.all([startNode(), startContainerd(line)]);
      });
      afterAll(async () => {
        await node[Symbol.asyncDispose]();
        await bash.stop();
        await proxy.stop();
      });

      const beginErrand = (): Promise<string> => node.environment.agent.begin("run_errand", "import-images");
      const runErrand = async (): Promise<unknown> => node.environment.agent.finish(await beginErrand());
      const loseImages = async (): Promise<void> => {
        await node.containerd.ctr("images", "rm", "--sync", ...(await names(node.containerd)));
      };

      /** All of them; beyond them only pins, and further names by their digest. */
      const expectNamesOfBash = async (): Promise<void> => {
        const [ours, its] = [await names(node.containerd), await names(bash)];
        expect(ours).toEqual(expect.arrayContaining(its));
        const more = ours.filter((name) => !its.includes(name));
        expect(
          more.filter(
            (name) =>
              !/^registry\.k8s\.io\/[^@]+@sha256:|^docker\.io\/[^@]+@sha256:/.test(name) &&
              !name.startsWith(pinPrefix),
          ),
        ).toEqual([]);
      };

      test("gives the names that the bash post-start gave", async () => {
        expect(await bashPostStart(images, workerOf(bash))).toBe(0);
        await expectDeployed(node.environment, { images });
        await expectNamesOfBash();
        expect(Object.keys(await tags(node.containerd)).toSorted()).toEqual(
          Object.keys(await tags(bash)).toSorted(),
        );
      });

      test("gives them on a second run, as an errand, where the bash one fails", async () => {
        expect(await bashPostStart(images, workerOf(bash))).not.toBe(0);
        expect(await runErrand()).toMatchObject({ exit_code: 0 });
        await expectNamesOfBash();
      });

      test("brings back what the node has lost when the errand is run, and tells the operator", async () => {
        await loseImages();
        expect(await tags(node.containerd)).toEqual({});
        expect(await runErrand()).toMatchObject({
          exit_code: 0,
          stdout: expect.stringContaining("registry.k8s.io/base:v2.0.0"),
        });
        await expectNamesOfBash();
      });

      test("ends soon when the errand is cancelled in the middle of a pull, with its state written and no child left", async () => {
        const { environment } = node;
        await loseImages();
        const layer = String(large.layers[0]?.digest);
        proxy.set({ digest: layer, stallAfter: 1_000_000 });
        proxy.clearRequests();
        const task = await beginErrand();
        await proxy.served(layer, 1_000_000);

        const cancelled = performance.now();
        await environment.agent.call("cancel_task", task);
        expect(await environment.agent.finish(task)).toMatchObject({ exit_code: 143 });
        expect(performance.now() - cancelled).toBeLessThan(10_000);

        const status = JSON.parse(await environment.vcap("data/import-images/status.json")) as object;
        expect(status).toMatchObject({ phase: "ended", exitCode: 143 });
        const left = await environment.machine.processes();
        expect(left.filter((command) => !command.includes("bosh-agent"))).toEqual([]);
      });
    });
  },
  ["containerd", "ctr", "crictl", "registry", "bosh", "boshAgent"],
);
