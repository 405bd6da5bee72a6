import { defineConfig } from "vitest/config";

const shared = { restoreMocks: true, unstubEnvs: true };

// Two rungs. `unit` runs anywhere with Node in seconds. `real` needs root on Linux and the tools that
// scripts/tools builds: one file at a time, because the files measure and share two cores.
export default defineConfig({
  test: {
    projects: [
      { test: { ...shared, name: "unit", include: ["test/unit/**/*.test.ts"] } },
      {
        test: {
          ...shared,
          name: "real",
          include: ["test/real/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
