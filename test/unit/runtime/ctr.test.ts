import { gzipSync, zstdCompressSync } from "node:zlib";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { BRIEF, type CommandOptions } from "../../../src/runtime/command.ts";
import { ctrClient, parseBlobs, parseIngests } from "../../../src/runtime/ctr.ts";
import { temporaryFolder } from "../folder.ts";
import { digestOf, reference } from "../samples.ts";

const SETTINGS = { ctr: "/x/ctr", socket: "/c.sock", namespace: "k8s.io" };
const GLOBAL = ["--address=/c.sock", "--namespace=k8s.io", "--timeout=30s"];

/** A ctr that answers everything with one text. */
function ctr(answer = "") {
  const calls: { readonly args: readonly string[]; readonly options: CommandOptions }[] = [];
  const run = async (tool: string, args: readonly string[], options: CommandOptions): Promise<string> => {
    expect(tool).toBe("/x/ctr");
    calls.push({ args, options });
    return answer;
  };
  return { calls, client: ctrClient(run, SETTINGS), args: () => calls.map((call) => call.args) };
}

describe("the arguments", () => {
  const DIGEST = digestOf("a");
  test.each([
    [
      "of a tag",
      (client: ReturnType<typeof ctrClient>) => client.tag("a.b/c:1", ["x.y/z:1"], { local: false }),
      ["images", "tag", "--force", "a.b/c:1", "x.y/z:1"],
    ],
    [
      "of several tags at once, with the labels of their source also in containerd 2",
      (client: ReturnType<typeof ctrClient>) =>
        client.tag("a.b/c:1", ["x.y/z:1", "x.y/z:2"], { local: true }),
      ["images", "tag", "--force", "--local", "a.b/c:1", "x.y/z:1", "x.y/z:2"],
    ],
    [
      "of a pin, the runtime's label and ours",
      (client: ReturnType<typeof ctrClient>) => client.pin("a.b/c:1"),
      ["images", "label", "a.b/c:1", "io.cri-containerd.pinned=pinned", "io.import-images.pinned=pinned"],
    ],
    [
      "of its removal",
      (client: ReturnType<typeof ctrClient>) => client.unpin("a.b/c:1"),
      ["images", "label", "a.b/c:1", "io.cri-containerd.pinned=", "io.import-images.pinned="],
    ],
    [
      "of a hold",
      (client: ReturnType<typeof ctrClient>) => client.hold(DIGEST),
      ["content", "label", DIGEST, "containerd.io/gc.root=import-images"],
    ],
    [
      "of its release",
      (client: ReturnType<typeof ctrClient>) => client.release(DIGEST),
      ["content", "label", DIGEST, "containerd.io/gc.root="],
    ],
    ["of a read", (client: ReturnType<typeof ctrClient>) => client.read(DIGEST), ["content", "get", DIGEST]],
    ["of the downloads", (client: ReturnType<typeof ctrClient>) => client.ingests(), ["content", "active"]],
    [
      "of the holds",
      (client: ReturnType<typeof ctrClient>) => client.held(),
      ["content", "list", "--quiet", 'labels."containerd.io/gc.root"==import-images'],
    ],
    [
      "of the blobs of some repositories",
      (client: ReturnType<typeof ctrClient>) =>
        client.blobs([reference("10.0.0.5:5000/team.x/app:1"), reference("nginx")], [DIGEST]),
      [
        "content",
        "list",
        'labels."containerd.io/distribution.source.10.0.0.5"~="(^|,)team[.]x/app(,|$)"',
        'labels."containerd.io/distribution.source.docker.io"~="(^|,)library/nginx(,|$)"',
        `digest==${DIGEST}`,
      ],
    ],
  ])("%s", async (_what, act, expected) => {
    const { client, calls } = ctr();
    await act(client);
    expect(calls).toEqual([{ args: [...GLOBAL, ...expected], options: { timeout: 30_000, env: BRIEF } }]);
  });

  test("of both lists of pins, and the names in them", async () => {
    const { client, args } = ctr("a.b/c:1\nx.y/z:1\n");
    expect(await client.pinned()).toEqual(["a.b/c:1", "x.y/z:1"]);
    expect(await client.pinnedByUs()).toEqual(["a.b/c:1", "x.y/z:1"]);
    expect(args()).toEqual([
      [...GLOBAL, "images", "list", "--quiet", 'labels."io.cri-containerd.pinned"==pinned'],
      [...GLOBAL, "images", "list", "--quiet", 'labels."io.import-images.pinned"==pinned'],
    ]);
  });
});

describe("the downloads in progress", () => {
  test("are read with their sizes", () => {
    const lines = [
      "REF\tSIZE\tAGE\t",
      `layer-${digestOf("0")}\t1.049MB\t2 seconds\t`,
      `manifest-${digestOf("1")}\t527B\tLess than a second\t`,
      `config-${digestOf("2")}\t0B\t2 minutes\t`,
      `layer-${digestOf("3")}\t12.5kB\tAbout a minute\t`,
      `layer-${digestOf("4")}\t1.2GB\t3 hours\t`,
      "",
    ];
    expect(parseIngests(lines.join("\n"))).toEqual([
      { ref: `layer-${digestOf("0")}`, size: 1_049_000 },
      { ref: `manifest-${digestOf("1")}`, size: 527 },
      { ref: `config-${digestOf("2")}`, size: 0 },
      { ref: `layer-${digestOf("3")}`, size: 12_500 },
      { ref: `layer-${digestOf("4")}`, size: 1_200_000_000 },
    ]);
  });

  test.each(["", "REF\tSIZE\tAGE\t\n", "something else\n", "upload-x\t1MB\t2 seconds\t\n"])(
    "may be none: %j",
    (out) => {
      expect(parseIngests(out)).toEqual([]);
    },
  );
});

describe("the finished blobs", () => {
  test("are read with their labels", () => {
    const lines = [
      "DIGEST\tSIZE\tAGE\tLABELS",
      `${digestOf("a")}\t3.002MB\tLess than a second\tcontainerd.io/distribution.source.127.0.0.1=team.x/app,containerd.io/uncompressed=${digestOf("b")}`,
      `${digestOf("c")}\t527B\t2 hours\tcontainerd.io/gc.ref.content.config=${digestOf("d")},containerd.io/gc.ref.content.l.0=${digestOf("a")}`,
    ];
    expect(parseBlobs(lines.join("\n"))).toEqual([
      {
        digest: digestOf("a"),
        labels: new Map([
          ["containerd.io/distribution.source.127.0.0.1", "team.x/app"],
          ["containerd.io/uncompressed", digestOf("b")],
        ]),
      },
      {
        digest: digestOf("c"),
        labels: new Map([
          ["containerd.io/gc.ref.content.config", digestOf("d")],
          ["containerd.io/gc.ref.content.l.0", digestOf("a")],
        ]),
      },
    ]);
  });

  test("may have a label that is a list, with commas of its own", () => {
    const line = `${digestOf("a")}\t1kB\t2 days\tcontainerd.io/distribution.source.r=team/base,team/app,containerd.io/uncompressed=x`;
    expect(parseBlobs(line)[0]?.labels).toEqual(
      new Map([
        ["containerd.io/distribution.source.r", "team/base,team/app"],
        ["containerd.io/uncompressed", "x"],
      ]),
    );
  });

  test.each(["", "DIGEST\tSIZE\tAGE\tLABELS\n", "something else\n"])("may be none: %j", (out) => {
    expect(parseBlobs(out)).toEqual([]);
  });
});

describe("an archive", () => {
  const folder = temporaryFolder();
  const options = { signal: new AbortController().signal, timeout: 99, local: false };
  const SAID = "unpacking docker.io/library/a:1 (sha256:00)...done\nunpacking b.c/d:2 (sha256:11)...done\n";
  const archive = (name: string, content: Uint8Array): string => {
    const file = path.join(folder.path, name);
    writeFileSync(file, content);
    return file;
  };

  test("is imported by its path, and tells the names that it brought", async () => {
    const { client, calls } = ctr(SAID);
    const file = archive("plain.tar", Buffer.from("a tar"));
    expect(await client.importArchive(file, options)).toEqual(["docker.io/library/a:1", "b.c/d:2"]);
    expect(calls[0]?.args).toEqual([...GLOBAL.slice(0, 2), "images", "import", file]);
    expect(calls[0]?.options).toMatchObject({ timeout: 99 });
    expect(calls[0]?.options).not.toHaveProperty("input");
    // It reads the archive, and may need the CPUs.
    expect(calls[0]?.options).not.toHaveProperty("env");
  });

  test("is imported without the transfer service where that is asked for", async () => {
    const { client, args } = ctr(SAID);
    const file = archive("plain.tar", Buffer.from("a tar"));
    await client.importArchive(file, { ...options, local: true });
    expect(args()[0]).toEqual([...GLOBAL.slice(0, 2), "images", "import", "--local", file]);
  });

  test.each([
    ["gzip", gzipSync("a tar")],
    ["zstd", zstdCompressSync("a tar")],
  ])("that is compressed with %s is unpacked on the way", async (name, content) => {
    const { client, calls } = ctr(SAID);
    await client.importArchive(archive(`${name}.tar`, content), options);
    expect(calls[0]?.args.at(-1)).toBe("-");
    const input = calls[0]?.options.input;
    expect(input === undefined ? "nothing was fed" : await text(input)).toBe("a tar");
  });
});
