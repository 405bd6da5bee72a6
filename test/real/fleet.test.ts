// A small fleet behind a pull-through cache: with the origin off after the first node, the others are filled all the same.
import { expect, test } from "vitest";
import { startContainerd } from "../rig/containerd.ts";
import { startFaultProxy } from "../rig/fault-proxy.ts";
import { type PushedImage, pushImage } from "../rig/push.ts";
import { startRegistry } from "../rig/registry.ts";
import { describeReal } from "../rig/suite.ts";
import { agentFor } from "./support/agent.ts";

const line = "1.7";

describeReal("a fleet behind a pull-through cache", line, () => {
  test("fills three more nodes once the canary is done and the origin is off, which served each image once", async () => {
    await using registry = await startRegistry();
    const pushed: PushedImage[] = [];
    for (const name of ["fleet/one:1", "fleet/two:1"]) {
      pushed.push(await pushImage(registry, name, { layers: [{ bytes: 1_000_000, seed: name }] }));
    }
    await using origin = await startFaultProxy(registry);
    await using cache = await startRegistry({ cacheOf: `http://${origin.host}` });
    const images = pushed.map(({ repository, tag }) => ({ name: `${origin.host}/${repository}:${tag}` }));
    const fillNode = async (): Promise<void> => {
      await using containerd = await startContainerd(line);
      await containerd.useHost(origin.host, {
        server: `http://${origin.host}`,
        mirror: `http://${cache.host}`,
      });
      const ended = await agentFor(containerd).run({ images });
      expect(ended, ended.stderr).toMatchObject({ exitCode: 0 });
      const ids = (await containerd.images()).map(({ id }) => id);
      expect(ids.toSorted()).toEqual(pushed.map(({ configDigest }) => configDigest).toSorted());
    };

    await fillNode();
    await origin.down();
    // At once, as the workers of one batch.
    await Promise.all([fillNode(), fillNode(), fillNode()]);

    // The manifest, the configuration and the layer of each, and none of them twice.
    const fetched = origin.requests().filter(({ method, path }) => method === "GET" && path !== "/v2/");
    const paths = fetched.map(({ path }) => path);
    expect(paths).toHaveLength(3 * pushed.length);
    expect(new Set(paths).size).toBe(paths.length);
    for (const layer of pushed.flatMap(({ layers }) => layers)) {
      expect(origin.bytesServedFor(layer.digest)).toBe(layer.size);
    }
  });
});
