import type { Rule } from "../rig/fault-rules.ts";
import type { BenchImage } from "./images.ts";

export interface BenchCase {
  name: string;
  shows: string;
  images: BenchImage[];
  /** Bytes per second of each connection to the registry. */
  perConnection?: number;
  /** Bytes per second of all connections together. */
  shared?: number;
  latencyMs?: number;
  /** Requests open at once: the registry answers one more with status 429. */
  mostAtOnce?: number;
  /** Besides the throttle: applied anew in each run. */
  faults?: () => Rule[];
  registries?: number;
  /** The registry with this number answers nobody. */
  dead?: number;
  /** What the operator set for the downloads of the whole node, where those are limited. */
  nodeDownloads?: number;
  /** An earlier run has left a status.json, from which the agent knows how big the images are. */
  sizesKnown?: boolean;
  /** Everything is there already: the run that is measured is the second one. */
  rerun?: boolean;
  /** Give each image a second name. Not where the bash release would only fail: its `ctr image tag` cannot be repeated. */
  retag?: boolean;
}
