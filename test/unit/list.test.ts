// `list` on a containerd of maps and on texts: what it prints, and that `check` takes it.
import path from "node:path";
import { describe, expect, test } from "vitest";
import { parseCommand } from "../../src/cli.ts";
import { listCommand } from "../../src/commands/list.ts";
import { checkText } from "../../src/config/check.ts";
import type { Config } from "../../src/config/config.ts";
import type { Edge } from "../../src/edge.ts";
import { EXIT } from "../../src/exit.ts";
import { inMemoryContainerd } from "./containerd/in-memory.ts";
import { LINUX, served } from "./containerd/served-image.ts";
import { temporaryFolder } from "./folder.ts";

const folder = temporaryFolder();

interface Given {
  /** Of the standard input. */
  readonly input?: string;
  /** Path of the job's own configuration. */
  readonly config?: string;
}

async function list(
  words: string,
  { input = "", config = "/nowhere" }: Given = {},
  node = inMemoryContainerd(),
) {
  const command = parseCommand(["list", ...words.split(" ").filter((word) => word !== "")]);
  if (command.name !== "list") throw new Error(command.name);
  let [printed, sockets]: [string, string[]] = ["", []];
  const output = { write: (text: string) => void (printed += text), columns: undefined };
  const edge: Edge = {
    stdin: () => new Blob([input]).stream(),
    stdout: output,
    stderr: output,
    paths: { config, log: "/nowhere", state: "/nowhere" },
    pid: 7,
    platform: LINUX,
    signal: new AbortController().signal,
    stoppedBy: () => undefined,
  };
  const connect = ({ containerd }: Config) => {
    sockets.push(containerd.socket);
    return node.containerd;
  };
  expect(await listCommand(command, edge, connect)).toBe(EXIT.ok);
  expect(checkText(printed)).toMatchObject({ problems: [], warnings: [] });
  return { printed, sockets };
}

describe("list", () => {
  function busyNode() {
    const node = inMemoryContainerd();
    const [pause, app] = [served("pause"), served("app")];
    node.bring("registry.k8s.io/pause:3.9", pause);
    node.bring("r.one/app:1", app);
    node.record("r.two/app:1", app);
    node.record("r.three/app:1", app);
    node.used.push("registry.k8s.io/pause:3.9");
    return node;
  }

  test("prints what the node has, with sizes, and changes nothing", async () => {
    const node = busyNode();
    expect((await list("", {}, node)).printed).toBe(`# 2 images, 2.00kB
images:
- name: r.one/app:1 # 1.00kB
  retagAs:
  - r.three/app:1
  - r.two/app:1
- name: registry.k8s.io/pause:3.9 # 1.00kB
`);
    expect(node.changes()).toEqual([]);
  });

  test("prints what containers use, to be pulled from a registry", async () => {
    const { printed } = await list("--in-use --registry harbor.example.com/mirror", {}, busyNode());
    expect(printed).toBe(`# 1 image, 1.00kB
images:
- name: harbor.example.com/mirror/pause:3.9 # 1.00kB
  retagAs: registry.k8s.io/pause:3.9
`);
  });

  test("finds containerd by the job's configuration, by another, and where TKGI has it", async () => {
    const config = folder.write("config.json", '{"images": [], "containerd": {"socket": "/x.sock"}}');
    const other = folder.write("other.yml", "images: []\ncontainerd: {socket: /y.sock}\n");
    const node = busyNode();
    expect((await list("", { config }, node)).sockets).toEqual(["/x.sock"]);
    expect((await list(`--config ${other}`, { config }, node)).sockets).toEqual(["/y.sock"]);
    expect((await list("", {}, node)).sockets).toEqual(["/var/vcap/sys/run/containerd/containerd.sock"]);
    await expect(list("--config /nowhere", {}, node)).rejects.toMatchObject({ exitCode: EXIT.usage });
  });

  test("asks no node about names, from a file or the standard input", async () => {
    const file = folder.write("names", "[::1]:5000/a\nb:1\n");
    const printed = `# 2 images\nimages:\n- name: "[::1]:5000/a:latest"\n- name: docker.io/library/b:1\n`;
    expect(await list(`--from ${file}`)).toEqual({ printed, sockets: [] });
    expect(await list("--from -", { input: "b:1\n[::1]:5000/a\n" })).toEqual({ printed, sockets: [] });
  });

  test("tells of a file that is not there, and of a node without images", async () => {
    const missing = path.join(folder.path, "missing");
    await expect(list(`--from ${missing}`)).rejects.toThrow(`${missing} does not exist`);
    await expect(list("")).rejects.toThrow("this node has no image");
    await expect(list("--in-use")).rejects.toThrow("no container on this node has an image");
  });
});
