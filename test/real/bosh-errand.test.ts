import { afterAll, beforeAll, expect, test } from "vitest";
import { type Environment, type Properties, startEnvironment } from "../bosh/environment.ts";
import type { Result } from "../bosh/machine.ts";
import { copyReleaseTree, finishedBuild, tarballOf } from "../bosh/release.ts";
import { type Containerd, startContainerd } from "../rig/containerd.ts";
import { temporaryFolder } from "../rig/folder.ts";
import { pushImage } from "../rig/push.ts";
import { type Registry, startRegistry } from "../rig/registry.ts";
import { describeReal } from "../rig/suite.ts";
import { lastLine } from "./support/agent.ts";

const line = "1.7";
const present = 990;
const PINNED = "io.cri-containerd.pinned=pinned";

/** What the agent answers to the director, which shows it to the operator. */
interface ErrandResult {
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Images {
  readonly present: readonly string[];
  readonly pulled: readonly string[];
  readonly missing: readonly string[];
  readonly refused: readonly string[];
  readonly unreachable: readonly string[];
}

const numbered = (host: string, group: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${host}/${group}/app-${String(n + 1).padStart(3, "0")}:1.4.2`);

const imagesAt = (open: string, locked: string): Images => ({
  present: numbered(open, "platform", present),
  pulled: numbered(open, "new", 3),
  missing: numbered(open, "misspelt", 3),
  refused: numbered(locked, "private", 2),
  unreachable: numbered("127.0.0.1:1", "mirror", 2),
});

describeReal(
  "the errand of a thousand images",
  line,
  () => {
    const parts = new AsyncDisposableStack();
    let containerd: Containerd;
    let environment: Environment;
    let images: Images;
    let deploy: Result;
    let errand: ErrandResult;

    beforeAll(async () => {
      const folder = parts.use(temporaryFolder());
      const tree = await copyReleaseTree(folder.path, finishedBuild());
      await tree.create("--version", "1.0.0");
      const open = parts.use(await startRegistry());
      const locked = parts.use(await startRegistry({ auth: { user: "robot", password: "right" } }));
      containerd = parts.use(await startContainerd(line));
      images = imagesAt(open.host, locked.host);
      await fill(open);
      const { crictlPath: crictl, ctrPath: ctr, socket } = containerd;
      environment = parts.use(await startEnvironment(tarballOf(tree), { crictl, ctr, socket }));
      // It fails, as the operator who now runs the errand has seen.
      deploy = await environment.createEnv(properties(locked));
      await containerd.ctr("images", "rm", "--sync", ...images.pulled);
      const task = await environment.agent.begin("run_errand", "import-images");
      errand = (await environment.agent.finish(task)) as ErrandResult;
    }, 300_000);
    afterAll(() => parts.disposeAsync());

    /** One image under all the names: nine hundred pulls would prove nothing more. A tag hands the pins on. */
    async function fill(registry: Registry): Promise<void> {
      const [source = "", ...others] = images.present;
      const push = (name: string): Promise<unknown> =>
        pushImage(registry, name.replace(`${registry.host}/`, ""), {
          layers: [{ bytes: 40_000, seed: name }],
        });
      await Promise.all([source, ...images.pulled].map(push));
      await containerd.crictl("pull", source);
      await containerd.ctr("images", "label", source, PINNED);
      await containerd.ctr("images", "tag", source, ...others);
    }

    const properties = (locked: Registry): Properties => ({
      images: Object.values(images)
        .flat()
        .map((name: string) => ({ name })),
      registries: [{ host: locked.host, username: "robot", password: "wrong" }],
      retry: { attempts: 2, min_delay: "20ms", max_delay: "100ms" },
      registry_timeout: "1s",
    });

    test("tells on two screens what failed and what changed, and of the rest how many", () => {
      const output = errand.stdout + errand.stderr;
      expect(errand.exit_code).toBe(1);
      expect(Buffer.byteLength(output)).toBeLessThan(64 * 1_024);
      // How often a registry is asked that is away depends on chance and time, not on the images.
      const asked = /^\S+Z (?:attempt \d+ of \S+mirror|pulling \S+mirror\S+ \(attempt)/u;
      expect(output.split("\n").filter((text) => !asked.test(text)).length).toBeLessThan(60);
      expect(images.present.filter((name) => output.includes(name))).toEqual([]);
      expect(errand.stdout).toContain("… and 990 more in place");
      expect(errand.stdout).toMatch(/1000 images: 3 pulled, 990 present, 7 failed in \S+\n$/u);
    });

    test("has the failures first in its summary, each kind with one next step, then a table that fits", () => {
      // The lines before it begin with their time.
      const [failures = "", table = ""] = errand.stdout.split(/(?=^RESULT)/mu);
      const told = failures.split("\n").filter((text) => !/^\d\d:\d\d:\d\dZ /u.test(text));
      const kinds = [
        [images.missing, "not-found"],
        [images.refused, "auth"],
        [images.unreachable, "network"],
      ] as const;
      expect(told.filter((text) => text.startsWith("FAILED"))).toEqual(
        kinds.flatMap(([names, kind]) =>
          names.map((name) => expect.stringContaining(`${name} in pull: ${kind}, after `)),
        ),
      );
      expect(told.filter((text) => text.startsWith("  next"))).toEqual([
        expect.stringContaining("for these 3: push the image"),
        expect.stringContaining("for these 2: check the user and password"),
        expect.stringContaining("for these 2: check DNS"),
      ]);
      expect(images.pulled.filter((name) => !table.includes(name))).toEqual([]);
      expect(table.split("\n").filter((text) => text.length > 100)).toEqual([]);
    });

    test("ends stderr with every failure and next step, as the log of the failed deploy does", async () => {
      expect(deploy.code, deploy.output).toBe(1);
      const deployed = await environment.vcap("sys/log/import-images/post-start.stderr.log");
      const failed = [...images.missing, ...images.refused, ...images.unreachable];
      for (const text of [errand.stderr, deployed]) {
        const last = lastLine(text);
        expect(last).toContain("7 of 1000 images failed: ");
        expect(failed.filter((name) => !last.includes(name))).toEqual([]);
        for (const next of ["push the image", "check the user and password", "check DNS"])
          expect(last.split(`next: ${next}`)).toHaveLength(2);
      }
    });

    test("is followed by a status that tells the failures again, and has the missing names alone", async () => {
      const program = "/var/vcap/jobs/import-images/bin/import-images";
      const { code, output } = await environment.machine.run(program, ["status"]);
      expect(code).toBe(1);
      expect(output.match(/^FAILED .+ in pull: .+$/gmu)).toHaveLength(7);
      expect(output.match(/^no .*$/gmu)).toHaveLength(7);
      expect(output).toContain("… and 993 more, all present");
      expect(output).toMatch(/1000 names: 993 present, 7 missing, 993 pinned\n$/u);
      expect(output.split("\n").length).toBeLessThan(36);
    });
  },
  ["containerd", "ctr", "crictl", "registry", "bosh", "boshAgent"],
);
