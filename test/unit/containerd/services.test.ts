import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server, type Http2ServerResponse } from "node:http2";
import { createServer, Socket, type Server } from "node:net";
import path from "node:path";
import { status } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { api } from "../../../src/containerd/api.ts";
import { CODE } from "../../../src/core/failure.ts";
import { ContainersService } from "../../../src/containerd/generated/containers.ts";
import { ContentService } from "../../../src/containerd/generated/content.ts";
import { ImageServiceService, RuntimeServiceService } from "../../../src/containerd/generated/cri.ts";
import { ImagesService } from "../../../src/containerd/generated/images.ts";
import { IntrospectionService } from "../../../src/containerd/generated/introspection.ts";
import { LeasesService } from "../../../src/containerd/generated/leases.ts";
import { Kind, SnapshotsService } from "../../../src/containerd/generated/snapshots.ts";
import type { Mount } from "../../../src/containerd/generated/types/mount.ts";

import { temporaryFolder } from "../folder.ts";
import { digestOf, reference } from "../samples.ts";
import { connecting, listening, Refusal, route, serving } from "./api.ts";

const folder = temporaryFolder();
const LIVE = new AbortController().signal;
const DIGEST = digestOf("a");
const TARGET = { mediaType: "application/vnd.oci.image.index.v1+json", digest: DIGEST, size: 123 };
const RECORD = { name: "a.b/c:1", labels: { "io.cri-containerd.pinned": "pinned" }, target: TARGET };

/** An empty message. */
const done = () => [{}];
const fails = (code: status) => (): never => {
  throw new Refusal(code);
};

describe("image records", () => {
  async function images(over: { readonly create?: () => never; readonly delete?: () => never } = {}) {
    const { get, list, create, update, delete: remove } = ImagesService;
    const found = [RECORD, { name: "bare", labels: {}, target: undefined }];
    const connection = await serving(folder.path, [
      route(list, () => [{ images: found }]),
      route(get, ({ name }) => {
        const image = found.find((each) => each.name === name);
        return image === undefined ? fails(status.NOT_FOUND)() : [{ image }];
      }),
      route(create, over.create ?? done),
      route(update, done),
      route(remove, over.delete ?? done),
    ]);
    return { requests: connection.requests, client: api(connection) };
  }

  test("are read with labels and target, also one that leads nowhere", async () => {
    const { client, requests } = await images();
    expect(await client.records()).toEqual([
      RECORD,
      { name: "bare", labels: {}, target: { mediaType: "", digest: "", size: 0 } },
    ]);
    expect(requests).toEqual([["Images/List", {}]]);
  });

  test("are asked for by one name, which need not be there", async () => {
    const { client, requests } = await images();
    expect(await client.record(RECORD.name)).toEqual(RECORD);
    expect(await client.record("none:1")).toBeUndefined();
    expect(requests).toEqual([
      ["Images/Get", { name: RECORD.name }],
      ["Images/Get", { name: "none:1" }],
    ]);
  });

  test("are made with every part set: without one containerd would crash", async () => {
    const { client, requests } = await images();
    await client.saveRecord(RECORD);
    expect(requests).toEqual([["Images/Create", { image: RECORD }]]);
  });

  test("that exist get the target and the labels, each by its own path: others stay", async () => {
    const { client, requests } = await images({ create: fails(status.ALREADY_EXISTS) });
    await client.saveRecord(RECORD);
    expect(requests.at(-1)).toEqual([
      "Images/Update",
      { image: RECORD, updateMask: ["target", "labels.io.cri-containerd.pinned"] },
    ]);
  });

  test("are deleted by name, and one that is not there is deleted already", async () => {
    const { client, requests } = await images({ delete: fails(status.NOT_FOUND) });
    await client.deleteRecord("a.b/c:1");
    expect(requests).toEqual([["Images/Delete", { name: "a.b/c:1" }]]);
  });

  test("that cannot be made or deleted are an error with its code", async () => {
    const { client } = await images({
      create: fails(status.UNKNOWN),
      delete: fails(status.PERMISSION_DENIED),
    });
    await expect(client.saveRecord(RECORD)).rejects.toMatchObject({
      name: "ApiError",
      code: 2,
      message: "containerd: no",
    });
    await expect(client.deleteRecord("a.b/c:1")).rejects.toMatchObject({ code: CODE.permissionDenied });
  });
});

describe("content", () => {
  const info = (letter: string) => ({
    digest: digestOf(letter),
    size: 5,
    labels: { "containerd.io/uncompressed": "x" },
  });

  async function content(over: { readonly abort?: () => never } = {}) {
    const { info: find, list, read, listStatuses, abort } = ContentService;
    // A character of two bytes, in two parts.
    const bytes = Buffer.from('{"a":"ü"}');
    const connection = await serving(folder.path, [
      route(find, ({ digest }) => (digest === DIGEST ? [{ info: info("a") }] : fails(status.NOT_FOUND)())),
      route(list, () => [{ info: [info("a"), info("b")] }, { info: [info("c")] }]),
      route(read, ({ digest }) =>
        digest === DIGEST
          ? [
              { offset: 0, data: bytes.subarray(0, 7) },
              { offset: 7, data: bytes.subarray(7) },
            ]
          : fails(status.NOT_FOUND)(),
      ),
      route(listStatuses, () => [{ statuses: [{ ref: `layer-${DIGEST}`, offset: 10, total: 2 ** 40 }] }]),
      route(abort, over.abort ?? done),
    ]);
    return { requests: connection.requests, client: api(connection) };
  }

  test("is listed from all parts of the answer", async () => {
    const { client, requests } = await content();
    expect((await client.blobs()).map(({ digest, size }) => [digest, size])).toEqual([
      [digestOf("a"), 5],
      [digestOf("b"), 5],
      [digestOf("c"), 5],
    ]);
    expect(requests).toEqual([["Content/List", { filters: [] }]]);
  });

  test("is asked for by its digest, with its labels, and need not be there", async () => {
    const { client, requests } = await content();
    expect(await client.blob(DIGEST)).toEqual(info("a"));
    expect(await client.blob(digestOf("f"))).toBeUndefined();
    expect(requests[0]).toEqual(["Content/Info", { digest: DIGEST }]);
  });

  test("is listed by repositories, whose dots and neighbours match nothing else", async () => {
    const { client, requests } = await content();
    await client.blobs([
      { repository: reference("10.0.0.5:5000/team.x/app:1"), shared: true },
      { repository: reference("nginx"), shared: false },
    ]);
    const filters = [
      'labels."containerd.io/distribution.source.10.0.0.5"~="(^|,)team[.]x/app(,|$)"',
      'labels."containerd.io/distribution.source.docker.io"=="library/nginx"',
    ];
    expect(requests).toEqual([["Content/List", { filters }]]);
  });

  test("is read as text, also where a character is cut in two", async () => {
    const { client } = await content();
    expect(await client.read({ digest: DIGEST, size: 10 })).toBe('{"a":"ü"}');
    await expect(client.read({ digest: digestOf("f"), size: 10 })).rejects.toMatchObject({
      code: CODE.notFound,
    });
  });

  test("of another length than it should have is refused, and one too large for a document is not read", async () => {
    const { client, requests } = await content();
    await expect(client.read({ digest: DIGEST, size: 11 })).rejects.toThrow("has 10 of 11 bytes");
    const largest = 24 * 2 ** 20;
    await expect(client.read({ digest: DIGEST, size: largest })).rejects.toThrow("has 10 of 25165824 bytes");
    const asked = requests.length;
    expect(await client.read({ digest: DIGEST, size: largest + 1 })).toBeUndefined();
    expect(requests).toHaveLength(asked);
  });

  test("under way is told in bytes, however many", async () => {
    const { client } = await content();
    expect(await client.downloads()).toEqual([{ ref: `layer-${DIGEST}`, offset: 10, total: 2 ** 40 }]);
  });

  test("under way is thrown away by its ref, and what is not there is gone already", async () => {
    const { client, requests } = await content({ abort: fails(status.NOT_FOUND) });
    await client.abort(`layer-${DIGEST}`);
    expect(requests).toEqual([["Content/Abort", { ref: `layer-${DIGEST}` }]]);
  });
});

describe("leases", () => {
  async function held(over: { readonly create?: () => never; readonly delete?: () => never } = {}) {
    const { list, create, addResource, delete: remove } = LeasesService;
    const connection = await serving(folder.path, [
      route(list, () => [
        {
          leases: [
            { id: "one", labels: {} },
            { id: "two", labels: {} },
          ],
        },
      ]),
      route(create, over.create ?? done),
      route(addResource, done),
      route(remove, over.delete ?? done),
    ]);
    return { requests: connection.requests, client: api(connection) };
  }

  test("are ours by their label", async () => {
    const { client, requests } = await held();
    expect(await client.leases()).toEqual(["one", "two"]);
    expect(requests).toEqual([["Leases/List", { filters: ['labels."io.import-images.lease"==true'] }]]);
  });

  test("expire at a date that containerd can read", async () => {
    const { client, requests } = await held();
    await client.createLease("one", new Date(Date.UTC(2026, 0, 2, 3, 4, 5)));
    const labels = {
      "io.import-images.lease": "true",
      "containerd.io/gc.expire": "2026-01-02T03:04:05.000Z",
    };
    expect(requests).toEqual([["Leases/Create", { id: "one", labels }]]);
  });

  test("hold a resource, which is always set", async () => {
    const { client, requests } = await held();
    await client.hold("one", { type: "ingests", id: `layer-${DIGEST}` });
    expect(requests).toEqual([
      ["Leases/AddResource", { id: "one", resource: { type: "ingests", id: `layer-${DIGEST}` } }],
    ]);
  });

  test("are deleted with what they alone held", async () => {
    const { client, requests } = await held();
    await client.deleteLease("one");
    expect(requests).toEqual([["Leases/Delete", { id: "one", sync: true }]]);
  });

  test("that exist, or are gone, are as they should be", async () => {
    const { client } = await held({ create: fails(status.ALREADY_EXISTS), delete: fails(status.NOT_FOUND) });
    await expect(client.createLease("one", new Date(0))).resolves.toBeUndefined();
    await expect(client.deleteLease("one")).resolves.toBeUndefined();
  });
});

describe("snapshots", () => {
  const at = new Date("2026-01-02T03:04:05.678Z");
  const info = (name: string, kind: Kind, parent = "") => ({ name, kind, parent, createdAt: at });
  const snapshot = (name: string, isCommitted: boolean, parent = "") => ({
    name,
    isCommitted,
    parent,
    createdAt: at.toISOString(),
  });

  test("are listed, or asked for one by one, with what they are on top of and when they were made", async () => {
    const one = info("one", Kind.COMMITTED);
    const two = info("two", Kind.COMMITTED, "one");
    const active = info("extract-1", Kind.ACTIVE, "two");
    const connection = await serving(folder.path, [
      route(SnapshotsService.list, () => [{ info: [one, active] }, { info: [two] }]),
      route(SnapshotsService.stat, ({ key }) =>
        key === "two" ? [{ info: two }] : fails(status.NOT_FOUND)(),
      ),
    ]);
    const client = api(connection);
    expect(await client.snapshots("zfs")).toEqual([
      snapshot("one", true),
      snapshot("extract-1", false, "two"),
      snapshot("two", true, "one"),
    ]);
    expect(await client.snapshot("zfs", "two")).toEqual(snapshot("two", true, "one"));
    expect(await client.snapshot("zfs", "none")).toBeUndefined();
    expect(connection.requests).toEqual([
      ["Snapshots/List", { snapshotter: "zfs" }],
      ["Snapshots/Stat", { snapshotter: "zfs", key: "two" }],
      ["Snapshots/Stat", { snapshotter: "zfs", key: "none" }],
    ]);
  });

  test("have no time where containerd tells none", async () => {
    const one = { ...info("one", Kind.COMMITTED), createdAt: undefined };
    const connection = await serving(folder.path, [route(SnapshotsService.list, () => [{ info: [one] }])]);
    expect(await api(connection).snapshots("zfs")).toEqual([{ ...snapshot("one", true), createdAt: "" }]);
  });

  const viewed = async (mounts: readonly Mount[], isLeft = false) => {
    const connection = await serving(folder.path, [
      route(SnapshotsService.view, () => (isLeft ? fails(status.ALREADY_EXISTS)() : [{ mounts }])),
      route(SnapshotsService.mounts, () => [{ mounts }]),
      route(SnapshotsService.remove, () => [{}]),
    ]);
    const found = await api(connection).layerDirectories("overlayfs", "chain");
    return { found, requests: connection.requests };
  };
  const overlay = { type: "overlay", source: "overlay", options: ["index=off", "lowerdir=/s/2/fs:/s/1/fs"] };
  const key = "import-images-view-chain";

  test("have directories, of which a view tells, which is removed again", async () => {
    expect(await viewed([overlay])).toEqual({
      found: ["/s/2/fs", "/s/1/fs"],
      requests: [
        ["Snapshots/View", { snapshotter: "overlayfs", key, parent: "chain" }],
        ["Snapshots/Remove", { snapshotter: "overlayfs", key }],
      ],
    });
  });

  test("have the directories of which a view tells that a killed look left, which is removed as well", async () => {
    const { found, requests } = await viewed([overlay], true);
    expect(found).toEqual(["/s/2/fs", "/s/1/fs"]);
    expect(requests.slice(1)).toEqual([
      ["Snapshots/Mounts", { snapshotter: "overlayfs", key }],
      ["Snapshots/Remove", { snapshotter: "overlayfs", key }],
    ]);
  });

  test.each([
    [
      "one directory where there is one layer",
      [{ type: "bind", source: "/s/1/fs", options: ["ro"] }],
      ["/s/1/fs"],
    ],
    ["none where they are devices", [{ type: "ext4", source: "/dev/dm-1", options: ["ro"] }], undefined],
    ["none where nothing is to be mounted", [], undefined],
  ])("have %s", async (_what, mounts, expected) => {
    expect((await viewed(mounts)).found).toEqual(expected);
  });

  test("and blobs that are not there are removed already", async () => {
    const connection = await serving(folder.path, [
      route(SnapshotsService.remove, fails(status.NOT_FOUND)),
      route(ContentService.delete, fails(status.NOT_FOUND)),
    ]);
    const client = api(connection);
    expect(await client.removeSnapshot("overlayfs", "chain")).toBe(true);
    await client.deleteBlob(DIGEST);
    expect(connection.requests).toEqual([
      ["Snapshots/Remove", { snapshotter: "overlayfs", key: "chain" }],
      ["Content/Delete", { digest: DIGEST }],
    ]);
  });
});

test("a snapshot that cannot be removed for another reason is an error", async () => {
  const connection = await serving(folder.path, [
    route(SnapshotsService.remove, fails(status.PERMISSION_DENIED)),
  ]);
  await expect(api(connection).removeSnapshot("overlayfs", "chain")).rejects.toMatchObject({
    code: CODE.permissionDenied,
  });
});

test("a snapshot below another one stays, and its config can let go of it", async () => {
  const connection = await serving(folder.path, [
    route(SnapshotsService.remove, fails(status.FAILED_PRECONDITION)),
    route(ContentService.update, () => [{ info: undefined }]),
  ]);
  const client = api(connection);
  expect(await client.removeSnapshot("overlayfs", "chain")).toBe(false);
  await client.unlinkSnapshot(DIGEST, "overlayfs");
  expect(connection.requests.slice(1)).toEqual([
    [
      "Content/Update",
      {
        info: { digest: DIGEST, size: 0, labels: {} },
        updateMask: ["labels.containerd.io/gc.ref.snapshot.overlayfs"],
      },
    ],
  ]);
});

test.each([
  ["is what containerd exports", [{ exports: { root: "/c/content" } }], "/c/content"],
  ["is unknown where it exports nothing", [{ exports: {} }], undefined],
  ["is unknown where there is no such plugin", [], undefined],
])("the directory of the blobs %s", async (_what, plugins, expected) => {
  const connection = await serving(folder.path, [route(IntrospectionService.plugins, () => [{ plugins }])]);
  expect(await api(connection).contentDirectory()).toBe(expected);
  expect(connection.requests).toEqual([
    ["Introspection/Plugins", { filters: ["type==io.containerd.content.v1"] }],
  ]);
});

test("containers are read with the names of their images", async () => {
  const containers = [
    { id: "sandbox", image: "a.b/pause:1" },
    { id: "app", image: "sha256:1" },
  ];
  const connection = await serving(folder.path, [route(ContainersService.list, () => [{ containers }])]);
  expect(await api(connection).containerImages()).toEqual(["a.b/pause:1", "sha256:1"]);
});

describe("the CRI", () => {
  const answering = async (version: string, filesystems: readonly (string | undefined)[] = []) => {
    const image = {
      id: "sha256:1",
      repoTags: ["a.b/c:1"],
      repoDigests: [`a.b/c@${DIGEST}`],
      size: 7,
      pinned: true,
    };
    const imageFilesystems = filesystems.map((mountpoint) => ({
      fsId: mountpoint === undefined ? undefined : { mountpoint },
    }));
    const connection = await serving(folder.path, [
      route(RuntimeServiceService.version, () => [{ runtimeName: "containerd", runtimeVersion: version }]),
      route(ImageServiceService.listImages, () => [
        { images: [image, { id: "", repoTags: [], repoDigests: [], size: 0, pinned: false }] },
      ]),
      route(ImageServiceService.imageFsInfo, () => [{ imageFilesystems }]),
    ]);
    return api(connection);
  };

  test("tells the version of containerd", async () => {
    expect((await (await answering("v1.6.20~ds1")).version(LIVE)).version).toBe("1.6.20");
  });

  test("that tells no version is an error", async () => {
    await expect((await answering("unknown")).version(LIVE)).rejects.toThrow("tells no version");
  });

  test("lists images with tags and digests as names", async () => {
    expect(await (await answering("1.7.0")).criImages()).toEqual([
      { id: "sha256:1", names: ["a.b/c:1", `a.b/c@${DIGEST}`], size: 7, pinned: true },
      { id: "", names: [], size: 0, pinned: false },
    ]);
  });

  test("tells where images are, or that it does not", async () => {
    expect(
      await (await answering("1.7.0", ["/x/io.containerd.snapshotter.v1.overlayfs"])).imageDirectory(),
    ).toBe("/x/io.containerd.snapshotter.v1.overlayfs");
    expect(await (await answering("1.7.0")).imageDirectory()).toBeUndefined();
    expect(await (await answering("1.7.0", [undefined])).imageDirectory()).toBeUndefined();
  });

  test("of version 1 that is not there is told by its code", async () => {
    const connection = await serving(folder.path, [
      route(RuntimeServiceService.version, fails(status.UNIMPLEMENTED)),
    ]);
    await expect(api(connection).version(LIVE)).rejects.toMatchObject({
      name: "ApiError",
      code: CODE.unimplemented,
    });
  });
});

describe("a call", () => {
  const { list } = ImagesService;
  /** Never answers. */
  const silence = () => {
    const entered = Promise.withResolvers<void>();
    const answer = (): Promise<never> => {
      entered.resolve();
      return new Promise(() => {});
    };
    return { entered: entered.promise, answer };
  };

  let sockets = 0;
  /** A connection to a server that answers everything with this. */
  const answered = async (answer: (response: Http2ServerResponse) => void) => {
    const socket = path.join(folder.path, `answer-${(sockets += 1)}.sock`);
    const server = createHttp2Server((_request, response) => answer(response));
    await listening(server, socket);
    onTestFinished(() => void server.close());
    return { server, connection: connecting(socket) };
  };
  const nothing = (response: Http2ServerResponse): void =>
    void response.writeHead(200, { "content-type": "application/grpc", "grpc-status": "0" }).end();

  test("names the namespace", async () => {
    const connection = await serving(folder.path, [route(list, () => [{ images: [] }])]);
    await api(connection).records();
    expect(connection.namespaces).toEqual(["k8s.io"]);
  });

  test("tells the server for how long it is waited for", async () => {
    const connection = await serving(folder.path, [route(list, () => [{ images: [] }])]);
    await api(connection).records();
    expect(connection.patience).toEqual([expect.any(Number)]);
    expect(connection.patience[0]).toBeGreaterThan(20_000);
    expect(connection.patience[0]).toBeLessThanOrEqual(30_000);
  });

  test("may have a large answer, and many beside it", async () => {
    const images = Array.from({ length: 20_000 }, (_, n) => ({
      name: `registry.example.com/team/image-${n}:1`,
      labels: {},
      target: undefined,
    }));
    const connection = await serving(folder.path, [route(list, () => [{ images }])]);
    const answers = await Promise.all(Array.from({ length: 5 }, () => api(connection).records()));
    expect(answers.map(({ length }) => length)).toEqual([20_000, 20_000, 20_000, 20_000, 20_000]);
  });

  test("goes over the connection of the one before, which is closed in the end", async () => {
    const { server, connection } = await answered(nothing);
    const sessions: unknown[] = [];
    const closed = new Promise((resolve) => {
      server.on("session", (session) => sessions.push(session.once("close", () => resolve("closed"))));
    });
    await api(connection).records();
    await api(connection).records();
    expect(sessions).toHaveLength(1);
    connection[Symbol.dispose]();
    expect(await closed).toBe("closed");
  });

  test("need not be made before the connection is closed", () => {
    expect(() => connecting(`${folder.path}/nothing.sock`)[Symbol.dispose]()).not.toThrow();
  });

  test("that is answered leaves nothing to wait for", async () => {
    const { connection } = await answered(nothing);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    expect(await api(connection).records()).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("tells the server's words as they are where they are not escaped as they should be", async () => {
    const { connection } = await answered((response) =>
      response
        .writeHead(200, {
          "content-type": "application/grpc",
          "grpc-status": "13",
          "grpc-message": "100 % no",
        })
        .end(),
    );
    await expect(api(connection).records()).rejects.toThrow("containerd: 100 % no");
  });

  test("whose answer has no end was closed, in whichever format it came", async () => {
    const { connection } = await answered((response) =>
      response.writeHead(200, { "content-type": "application/grpc+proto" }).end(),
    );
    await expect(api(connection).records()).rejects.toThrow("the connection was closed");
  });

  test("to a socket that this user may not open says so, by a code of its own", async () => {
    vi.doMock("node:net", () => ({
      connect: () => new Socket().destroy(Object.assign(new Error("no"), { code: "EACCES" })),
    }));
    vi.resetModules();
    onTestFinished(() => {
      vi.doUnmock("node:net");
      vi.resetModules();
    });
    const fresh = await import("../../../src/containerd/connection.ts");
    using connection = fresh.openConnection({ socket: "/x.sock" }, LIVE);
    await expect(api(connection).records()).rejects.toMatchObject({
      code: CODE.permissionDenied,
      message: "containerd cannot be reached at /x.sock: this user may not open it (run as root)",
    });
  });

  test("tells the server's words, also those that are no ASCII", async () => {
    const connection = await serving(folder.path, [
      route(list, () => {
        throw new Refusal(status.INTERNAL, 'schlecht: 100 % "ü"');
      }),
    ]);
    const call = api(connection).records();
    await expect(call).rejects.toMatchObject({
      code: status.INTERNAL,
      message: 'containerd: schlecht: 100 % "ü"',
    });
  });

  test.each([
    ["there is none", `${folder.path}/nothing.sock`, "it does not exist"],
    ["it is a file", folder.write("file", ""), "nobody listens to it"],
  ])("to a socket of which %s says so", async (_what, socket, why) => {
    const call = api(connecting(socket)).records();
    const message = `containerd cannot be reached at ${socket}: ${why}`;
    await expect(call).rejects.toMatchObject({ code: CODE.unavailable, message });
  });

  test.each<[string, () => Server]>([
    ["HTTP/1", () => createHttpServer((_request, response) => void response.end("hello"))],
    ["HTTP/2 without gRPC", () => createHttp2Server((_request, response) => void response.end("hello"))],
    ["a page of HTTP/2", () => createHttp2Server((_request, response) => response.writeHead(404).end())],
    [
      "gRPC with other messages",
      () =>
        createHttp2Server((_request, response) => {
          response.writeHead(200, { "content-type": "application/grpc", "grpc-status": "0" });
          response.end(Buffer.from([0, 0, 0, 0, 2, 0xff, 0xff]));
        }),
    ],
    ["SSH", () => createServer((peer) => void peer.on("error", () => {}).write("SSH-2.0-OpenSSH_9.2p1\r\n"))],
    ["zeros", () => createServer((peer) => void peer.on("error", () => {}).end(Buffer.alloc(1_000)))],
  ])("to a server that speaks %s says so, each time", async (what, make) => {
    const socket = path.join(folder.path, `${what.replaceAll(/\W/gu, "-")}.sock`);
    const server = make();
    await listening(server, socket);
    onTestFinished(() => void server.close());
    const client = api(connecting(socket));
    const message = `containerd cannot be reached at ${socket}: what answers there does not speak containerd's API (gRPC)`;
    for (const call of [client.records, client.records])
      await expect(call()).rejects.toMatchObject({ code: CODE.unavailable, message });
  });

  test("to a server that says nothing waits as long as it may", async () => {
    const socket = path.join(folder.path, "silent.sock");
    const accepted = Promise.withResolvers<Socket>();
    const server = createServer(accepted.resolve);
    await listening(server, socket);
    const bound = new AbortController();
    const call = api(connecting(socket)).version(bound.signal);
    const peer = await accepted.promise;
    onTestFinished(() => {
      peer.destroy();
      server.close();
    });
    // So early that Node has yet to tell of the session that ends here.
    bound.abort();
    await expect(call).rejects.toMatchObject({ code: CODE.cancelled });
  });

  test("that is not answered within 30 s says so", async () => {
    const { entered, answer } = silence();
    const connection = await serving(folder.path, [route(list, answer)]);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const call = api(connection).records();
    await entered;
    const failed = call.catch((error: unknown) => error);
    vi.advanceTimersByTime(30_000);
    expect(await failed).toMatchObject({
      code: CODE.deadlineExceeded,
      message: expect.stringMatching(/^containerd at \S+ did not answer in time$/u),
    });
  });

  test("ends with the run, whatever it waits for, and none is begun after it", async () => {
    const { entered, answer } = silence();
    const connection = await serving(folder.path, [route(list, answer)]);
    const call = api(connection).records();
    await entered;
    connection.stop.abort();
    await expect(call).rejects.toMatchObject({ name: "ApiError", code: CODE.cancelled });
    await expect(api(connection).records()).rejects.toMatchObject({ code: CODE.cancelled });
    expect(connection.requests).toHaveLength(1);
  });

  test("that is broken off is one to a containerd that went away, and the next one finds it again", async () => {
    const { entered, answer } = silence();
    let calls = 0;
    const connection = await serving(folder.path, [
      route(list, () => ((calls += 1) === 1 ? answer() : [{ images: [] }])),
    ]);
    const client = api(connection);
    const call = client.records();
    await entered;
    connection.breakOff();
    await expect(call).rejects.toMatchObject({ name: "ApiError", code: CODE.unavailable });
    expect(await client.records()).toEqual([]);
  });

  test("of the version ends with its own signal too", async () => {
    const { entered, answer } = silence();
    const connection = await serving(folder.path, [route(RuntimeServiceService.version, answer)]);
    const own = new AbortController();
    const call = api(connection).version(own.signal);
    await entered;
    own.abort();
    await expect(call).rejects.toMatchObject({ name: "ApiError", code: CODE.cancelled });
  });
});
