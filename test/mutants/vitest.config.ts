import { defineConfig } from "vitest/config";

// One worker, of which the runner does the rest.
export default defineConfig({
  test: {
    restoreMocks: true,
    unstubEnvs: true,
    isolate: false,
    pool: "forks",
    maxWorkers: 1,
    teardownTimeout: 1_000,
    include: ["test/mutants/nothing.test.ts"],
    runner: "./test/mutants/runner.ts",
  },
});
