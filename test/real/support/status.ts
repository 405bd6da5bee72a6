// status.json and the log as their readers outside know them: written down here once more, so that a change of the
// program's own types does not go unnoticed.

export interface ImageStatus {
  readonly name: string;
  readonly names: readonly string[];
  readonly required: boolean;
  readonly phase: string;
  readonly attempts: number;
  readonly startedAt?: string;
  readonly endedAt?: string;
  readonly progress?: { readonly received: number; readonly total?: number; readonly layersDone: number };
  readonly id?: string;
  readonly digest?: string;
  readonly size?: number;
  readonly pinned?: boolean;
  readonly failure?: {
    readonly class: string;
    readonly step: string;
    readonly message: string;
    readonly next: string;
  };
}

export interface Status {
  readonly schema: number;
  readonly run: string;
  readonly version: string;
  readonly pid: number;
  readonly phase: string;
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly exitCode?: number;
  readonly stopped?: string;
  readonly containerd?: string;
  readonly concurrency?: number;
  readonly totals: {
    readonly present: number;
    readonly pulled: number;
    readonly kept: number;
    readonly failed: number;
    readonly unfinished: number;
  };
  readonly images: readonly ImageStatus[];
  readonly unpinned: readonly string[];
  readonly warnings: readonly string[];
}

export interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly run: string;
  readonly event: string;
  readonly msg: string;
  readonly image?: string;
  readonly [field: string]: unknown;
}

/** The image of a source name; a test that asks for one that is not there is wrong. */
export function imageOf(status: Pick<Status, "images">, name: string): ImageStatus {
  const image = status.images.find((candidate) => candidate.name === name);
  if (image === undefined) throw new Error(`no image ${name} in the status`);
  return image;
}

/** Source name to class, of the images that failed. */
export const failures = ({ images }: Pick<Status, "images">): Record<string, string | undefined> =>
  Object.fromEntries(
    images.filter(({ phase }) => phase === "failed").map(({ name, failure }) => [name, failure?.class]),
  );

/** Whether a value has what a reader of status.json looks for first. */
export const isStatus = (value: unknown): value is Status =>
  typeof value === "object" && value !== null && "run" in value && "phase" in value && "images" in value;
