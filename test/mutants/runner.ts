// Tries mutants inside one vitest worker. Starting vitest for each of thousands would take hours; here a mutant is a switch in
// code that is loaded, and trying it is running the tests that reach it. scripts/mutants.ts starts it and reads what it says.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { TestRunner, type RunnerTask, type RunnerTestFile } from "vitest";
import { startTests } from "vitest/internal/browser";

/** What the instrumented code looks at, and where it counts. */
interface Switchboard {
  activeMutant?: string | undefined;
  currentTestId?: string | undefined;
  hitCount?: number | undefined;
  hitLimit?: number | undefined;
  mutantCoverage: Coverage;
}

interface Coverage {
  /** Of the loading of modules. */
  readonly static: Record<string, number>;
  readonly perTest: Record<string, Record<string, number>>;
}

interface Mutant {
  readonly id: string;
  /** Of the source. */
  readonly file: string;
}

export interface Task {
  /** Test files. */
  readonly tests: readonly string[];
  readonly mutants: readonly Mutant[];
  /** Where to write a line for each mutant, and where the coverage is kept for the next worker. */
  readonly results: string;
  readonly coverage: string;
}

/** A test file as it went without mutants. */
interface Baseline {
  readonly file: string;
  readonly ms: number;
  readonly coverage: Coverage;
}

/** Milliseconds; a mutant that makes tests wait has been noticed. */
const TIMEOUT = 15_000;

const switches = ((globalThis as Record<string, unknown>)["__stryker__"] ??= {}) as Switchboard;
const ENV = "__STRYKER_ACTIVE_MUTANT__";

export default class MutantRunner extends TestRunner {
  /** Runs files as vitest does, and tells vitest's main process nothing of it. */
  private quiet(): TestRunner & { failed: boolean; timedOut: boolean } {
    const nothing = (): void => {};
    const runner = Object.assign(Object.create(this), {
      failed: false,
      timedOut: false,
      config: { ...this.config, testTimeout: TIMEOUT, hookTimeout: TIMEOUT },
      onTaskUpdate: nothing,
      onCollected: nothing,
      onCollectStart: TestRunner.prototype.onCollectStart,
      onAfterRunFiles: nothing,
      onTestAnnotate: nothing,
      onTestArtifactRecord: nothing,
      onCleanupWorkerContext: undefined,
      onBeforeTryTask(test: RunnerTask, options: never) {
        switches.currentTestId = test.id;
        TestRunner.prototype.onBeforeTryTask.call(this, test as never, options);
      },
      onAfterRunTask(test: RunnerTask) {
        switches.currentTestId = undefined;
        TestRunner.prototype.onAfterRunTask.call(this, test as never);
        if (test.result?.state !== "fail") return;
        runner.failed = true;
        runner.timedOut ||= test.result.errors?.some(({ message }) => /timed out/u.test(message)) ?? false;
        // One test that notices is enough.
        runner.cancelRun = true;
      },
    });
    return runner;
  }

  override async onAfterRunFiles(): Promise<void> {
    const task = JSON.parse(readFileSync(process.env["MUTANTS_TASK"] ?? "", "utf8")) as Task;
    const unhandled = (): void => void (this.unhandled += 1);
    process.on("unhandledRejection", unhandled).on("uncaughtException", unhandled);
    const baselines = existsSync(task.coverage)
      ? (JSON.parse(readFileSync(task.coverage, "utf8")) as Baseline[])
      : await this.baselines(task);
    for (const mutant of task.mutants) {
      appendFileSync(task.results, `${mutant.id} begun\n`);
      const status = await this.judge(mutant, baselines);
      appendFileSync(task.results, `${mutant.id} ${status}\n`);
      // What still waits may go on for ever, and would disturb the next.
      if (status === "timeout") process.exit(0);
    }
  }

  private unhandled = 0;

  private async baselines({ tests, coverage }: Task): Promise<Baseline[]> {
    const all: Baseline[] = [];
    for (const file of tests) {
      switches.mutantCoverage = { static: {}, perTest: {} };
      this.forget();
      const began = performance.now();
      const runner = this.quiet();
      const [ran] = await startTests([{ filepath: file }], runner);
      if (runner.failed || ran === undefined || hasFailed(ran)) {
        appendFileSync(`${coverage}.failed`, `${file}: ${JSON.stringify(errorsOf(ran))}\n`);
        continue;
      }
      all.push({ file, ms: performance.now() - began, coverage: switches.mutantCoverage });
    }
    writeFileSync(coverage, JSON.stringify(all));
    return all;
  }

  /** Modules are loaded anew. */
  private forget(): void {
    const { evaluatedModules } = Reflect.get(this, "workerState") as {
      readonly evaluatedModules: { readonly idToModuleMap: ReadonlyMap<string, object> };
    };
    for (const [id, module] of evaluatedModules.idToModuleMap)
      if (!/node_modules/u.test(id))
        Object.assign(module, { evaluated: false, promise: undefined, exports: undefined });
  }

  private async judge({ id, file: source }: Mutant, baselines: readonly Baseline[]): Promise<string> {
    const reaching = nearestFirst(source, baselines).flatMap(({ file, coverage }) => {
      const testIds = Object.keys(coverage.perTest).filter((test) => id in (coverage.perTest[test] ?? {}));
      const isStatic = id in coverage.static;
      const hits = testIds.reduce(
        (sum, test) => sum + (coverage.perTest[test]?.[id] ?? 0),
        coverage.static[id] ?? 0,
      );
      return isStatic || testIds.length > 0 ? [{ file, testIds, isStatic, hits }] : [];
    });
    if (reaching.length === 0) return "uncovered";
    for (const { file, testIds, isStatic, hits } of reaching) {
      Object.assign(switches, { activeMutant: id, hitCount: 0, hitLimit: hits * 100 + 1_000 });
      process.env[ENV] = id;
      if (isStatic) this.forget();
      const runner = this.quiet();
      const before = this.unhandled;
      const spec = isStatic ? { filepath: file } : { filepath: file, testIds };
      const [ran] = await startTests([spec], runner);
      await new Promise((resolve) => setImmediate(resolve));
      Object.assign(switches, { activeMutant: undefined, hitCount: undefined });
      process.env[ENV] = "";
      if (isStatic) this.forget();
      if (runner.timedOut) return "timeout";
      if (runner.failed || ran === undefined || hasFailed(ran) || this.unhandled > before) return "killed";
    }
    return "survived";
  }
}

/** Tests of the same name before those of the same folder before all others, and of these the quick ones first. */
function nearestFirst(source: string, baselines: readonly Baseline[]): Baseline[] {
  const [folder = "", name = ""] = source.replace(/\.ts$/u, "").split("/").slice(-2);
  const distance = ({ file }: Baseline): number => {
    if (!file.includes(`/unit/${folder}/`)) return 2;
    return file.endsWith(`/${name}.test.ts`) ? 0 : 1;
  };
  return baselines.toSorted((a, b) => distance(a) - distance(b) || a.ms - b.ms);
}

const hasFailed = (file: RunnerTestFile): boolean => file.result?.state === "fail";
const errorsOf = (file: RunnerTestFile | undefined): unknown =>
  file?.tasks.flatMap(function errors(task): unknown[] {
    const own = task.result?.errors?.map(({ message }) => message) ?? [];
    return "tasks" in task ? [...own, ...task.tasks.flatMap(errors)] : own;
  }) ?? file?.result?.errors;
