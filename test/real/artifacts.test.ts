// A registry holds more than images. Newer containerds pull a chart or a signature without complaint, and no pod starts of it.
import { expect, test } from "vitest";
import { describeEachLine } from "../rig/suite.ts";
import { artifacts, openSite } from "./faults-catalogue.ts";
import { agentFor } from "./support/agent.ts";
import { imageOf } from "./support/status.ts";

describeEachLine("what is no image", (line) => {
  test.each(Object.entries(artifacts))("%s is told apart, and tried once", async (id, stage) => {
    await using cleanup = new AsyncDisposableStack();
    const site = await openSite(line, cleanup);
    const { reference } = await stage(site, id);
    const agent = agentFor(site.containerd);
    const { exitCode } = await agent.run({ images: [{ name: reference }] });

    expect(exitCode).toBe(1);
    expect(imageOf(agent.status(), reference)).toMatchObject({
      phase: "failed",
      attempts: 1,
      failure: { class: "not-an-image" },
    });
  });
});
