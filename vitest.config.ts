import { defineConfig } from "vitest/config";

const shared = { restoreMocks: true, unstubEnvs: true };

// Two rungs. `unit` runs anywhere with Node in seconds. `real` needs root on Linux and the tools that scripts/tools
// builds: two files at a time, because they wait more than they work, and everything they start is their own.
export default defineConfig({
  test: {
    projects: [
      // Not isolated: most of the time would go into loading the same modules anew for each file.
      // The timeout is for what hangs: on a busy machine a test of half a second takes many.
      {
        test: {
          ...shared,
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          isolate: false,
          testTimeout: 30_000,
        },
      },
      {
        test: {
          ...shared,
          name: "real",
          include: ["test/real/**/*.test.ts"],
          maxWorkers: 2,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
