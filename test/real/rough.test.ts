// What a machine does to a run: tools that do not end or say too much, no working directory, no time, no rest.
import { chmodSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ociArchive } from "../rig/archive.ts";
import { describeReal } from "../rig/suite.ts";
import { type Agent, agentFor, lastLine } from "./support/agent.ts";
import { agentCommand } from "./support/executable.ts";
import { namesOn, pushTo, startNode, type TestNode } from "./support/node.ts";
import { failures, imageOf } from "./support/status.ts";

describeReal("rough conditions", "1.7", () => {
  let node: TestNode;
  let agent: Agent;

  beforeAll(async () => {
    node = await startNode("1.7");
    agent = agentFor(node.containerd);
  });
  afterAll(() => node[Symbol.asyncDispose]());

  /** A script in the place of crictl; `$CRICTL` is the real one. */
  const crictlThat = (does: string): Record<string, string> => {
    const file = path.join(agent.folder, `crictl-${Math.random().toString(36).slice(2)}`);
    writeFileSync(file, `#!/bin/sh\nCRICTL=${node.containerd.crictlPath}\n${does}\n`);
    chmodSync(file, 0o755);
    return { crictl: file };
  };

  test("a working directory that was deleted does not matter", async () => {
    const image = await pushTo(node.registry, "rough/cwd:1");
    const config = agent.write(JSON.stringify(agent.complete({ images: [{ name: image.reference }] })));
    const gone = path.join(agent.folder, "gone");
    const script = `mkdir ${gone} && cd ${gone} && rmdir ${gone} && exec "$@"`;
    const ended = await agent.exec(
      ["run", "--config", config],
      ["/bin/sh", "-c", script, "sh", ...agentCommand()],
    );

    expect(ended, ended.stderr).toMatchObject({ exitCode: 0 });
    expect((await namesOn(node.containerd)).has(image.reference)).toBe(true);
  });

  test("a tool's own child that keeps its output open is not waited for", async () => {
    const image = await pushTo(node.registry, "rough/grandchild:1");
    const containerd = crictlThat('sleep 100 &\necho $! >>"$0.pids"\nexec "$CRICTL" "$@"');
    const ended = await agent.run({ images: [{ name: image.reference }], containerd });
    await agent.exec([], ["/bin/sh", "-c", `kill $(cat ${containerd["crictl"]}.pids)`]);

    expect(ended, ended.stderr).toMatchObject({ exitCode: 0 });
    expect(ended.seconds).toBeLessThan(60);
  });

  test("a tool that prints 200 MB fails its image, with a reason that can be read", async () => {
    const image = await pushTo(node.registry, "rough/talkative:1");
    const containerd = crictlThat("head -c 200000000 /dev/zero | tr '\\0' x >&2\nexit 1");
    const ended = await agent.run({
      images: [{ name: image.reference }],
      retry: { attempts: 1 },
      containerd,
    });

    expect(ended.exitCode).toBe(1);
    expect(lastLine(ended.stderr)).toContain(`${image.reference} failed in pull (unknown)`);
    expect(lastLine(ended.stderr).length).toBeLessThan(8_192);
    expect(imageOf(agent.status(), image.reference).failure?.message.length).toBeLessThan(8_192);
  });

  test("a deadline that passes while an archive's 5,000 names are brought is told of each image", async () => {
    const names = Array.from({ length: 5_000 }, (_, at) => `rough.example/many:${at}`);
    const file = path.join(node.containerd.folder, "many.tar");
    writeFileSync(file, ociArchive({ names, layers: [{ bytes: 1_000, seed: "many" }] }));
    const ended = await agent.run({ archives: [{ path: file }], images: [], deadline: "2s" });

    expect(ended.exitCode).toBe(1);
    expect(ended.seconds).toBeLessThan(20);
    expect(lastLine(ended.stderr)).toContain("the deadline of 2.0s has passed");
    expect(new Set(Object.values(failures(agent.status())))).toEqual(new Set(["timeout"]));
  });

  test("somebody who pulls the same images without a pause is no reason to fail", async () => {
    const images = await Promise.all(["a", "b", "c"].map((name) => pushTo(node.registry, `rough/${name}:1`)));
    const over = new AbortController();
    const other = (async () => {
      while (!over.signal.aborted)
        for (const { reference } of images) await node.containerd.crictl("pull", reference);
    })();
    const ends = [];
    for (const policy of ["IfNotPresent", "Always", "Always"])
      ends.push(
        await agent.run({
          images: images.map(({ reference }, at) => ({
            name: reference,
            pullPolicy: policy,
            retagAs: `rough-${at}:1`,
          })),
        }),
      );
    over.abort();
    await other;

    for (const ended of ends) expect(ended, ended.stderr).toMatchObject({ exitCode: 0, stderr: "" });
    for (const { reference } of images)
      expect((await namesOn(node.containerd)).get(reference)).toMatchObject({ pinned: true, ours: true });
  });
});
