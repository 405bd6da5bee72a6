import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Runs a program to its end; stdout when it succeeds, an error with its stderr when it does not. */
export async function run(
  file: string,
  args: readonly string[],
  options: { cwd?: string } = {},
): Promise<string> {
  const { stdout } = await execute(file, args, { ...options, maxBuffer: 64 * 2 ** 20 });
  return stdout;
}
