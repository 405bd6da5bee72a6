// What the bash release's post-start did, for comparison: for each image one pull and, if asked for, one tag, until
// the first failure.
import { execFile } from "node:child_process";
import type { Worker } from "./environment.ts";

export interface BashImage {
  readonly name: string;
  readonly auth?: string;
  readonly retagAs?: string;
}

/** Runs it as the script ran, with its values as words of a shell; the exit code. */
export function bashPostStart(images: readonly BashImage[], worker: Worker): Promise<number> {
  const script = ["set -e", ...images.flatMap((image) => commandsFor(image, worker))].join("\n");
  return new Promise((resolve) => {
    const child = execFile(
      "bash",
      ["-c", script],
      { env: { PATH: "/usr/bin:/bin", CONTAINERD_ADDRESS: worker.socket } },
      () => resolve(child.exitCode ?? 255),
    );
  });
}

function commandsFor(
  { name, auth = "", retagAs = "" }: BashImage,
  { crictl, ctr, socket }: Worker,
): string[] {
  const endpoint = `--runtime-endpoint unix://${socket}`;
  const pull = `${crictl} ${endpoint} pull ${auth === "" ? "" : `--auth ${auth} `}${name}`;
  return retagAs === "" ? [pull] : [pull, `${ctr} --namespace=k8s.io image tag ${name} ${retagAs}`];
}
