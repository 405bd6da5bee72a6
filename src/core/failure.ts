// Failure classes: whether to retry, and what the operator can do. core/evidence.ts finds the class in a tool's output.

/** Why a step of an image failed. `message` is the tool's redacted text, or ours. */
export interface Failure {
  readonly class: FailureClass;
  readonly message: string;
  /** The next step if it differs from that of the class; a sentence without a full stop. */
  readonly next?: string;
  /** The action if it differs from that of the class. */
  readonly action?: Action;
  /** The registry refused the login itself, or its access to this repository. */
  readonly refused?: "login" | "repository";
  /** The tool's complete output, redacted, if `message` is only a part of it. For the log only. */
  readonly evidence?: string;
}

/** Carries a failure as an exception, and as the abort reason for every image that the abort ends. */
export class Failed extends Error {
  override readonly name = "Failed";
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

export const isFailure = (value: object): value is Failure => "class" in value && "message" in value;

/**
 * `stop`: no further attempt. `once-more`: one further attempt, late. `at-once`: resume now from what has arrived, and
 * back off if that fails too. `back-off`: this image waits. `registry-back-off`: every image of the registry waits.
 * `wait-for-runtime`: try again once containerd answers. `stop-run`: no further pull at all.
 */
export type Action =
  | "stop"
  | "once-more"
  | "at-once"
  | "back-off"
  | "registry-back-off"
  | "wait-for-runtime"
  | "stop-run";

const CLASSES = {
  auth: {
    action: "stop",
    next: "check the user and password of this registry (images[].auth or registries[]) and that the account may pull this repository",
  },
  "not-found": {
    action: "stop",
    next: "push the image to the registry, or to the mirror that certs.d names for it; or correct its name or tag",
  },
  "rate-limit": {
    action: "registry-back-off",
    next: "raise the registry's rate limit, lower concurrency or set start_jitter, then run again",
  },
  server: { action: "back-off", next: "look at the registry's own log and health, then run again" },
  network: {
    action: "registry-back-off",
    next: "check DNS, routes, firewall and proxy from this node to {host}, then run again (certs.d/<host>/hosts.toml may name other hosts, and a mirror there may lack the image)",
  },
  transfer: {
    action: "at-once",
    next: "look for a proxy, firewall or registry that cuts long downloads, or a damaged layer in the registry, then run again",
  },
  stall: {
    action: "at-once",
    next: "the registry or the network stopped sending: look at both, or raise stall_timeout if such pauses are normal here",
  },
  timeout: { action: "stop", next: "raise image_timeout or deadline, or find out why the registry is slow" },
  tls: {
    action: "stop",
    next: "give containerd the CA of {host}, in certs.d/<host>/hosts.toml of the registry",
  },
  reference: { action: "stop", next: "correct the image's name" },
  platform: {
    action: "stop",
    next: "push a manifest for this node's platform (an index may hold several), or list another image",
  },
  "not-an-image": {
    action: "stop",
    next: "list a container image here: this name belongs to a chart, a signature or another artifact, or the image is broken",
  },
  damaged: {
    action: "stop",
    next: "containers on this node use what would have to be replaced: drain the node, remove what is left of them (crictl ps -a, crictl rm), then run again",
  },
  disk: {
    action: "stop-run",
    next: "free space on the disk that holds containerd's images, or give the worker a larger disk, then run again",
  },
  runtime: {
    action: "wait-for-runtime",
    next: "check that containerd runs and answers (monit summary, crictl info), then run again",
  },
  cancelled: {
    action: "stop",
    next: "run again: bosh run-errand import-images, or bin/import-images on the node",
  },
  unknown: {
    action: "back-off",
    next: "import-images does not recognize this error: please report it, with import-images.log",
  },
} as const satisfies Record<string, { action: Action; next: string }>;

export type FailureClass = keyof typeof CLASSES;
const isClass = (name: string): name is FailureClass => name in CLASSES;
export const FAILURE_CLASSES = Object.keys(CLASSES).filter(isClass);

export const actionOf = (failure: Pick<Failure, "class" | "action">): Action =>
  failure.action ?? CLASSES[failure.class].action;
/** @param host the host that was asked, if known */
export const nextStep = (failure: FailureClass, host = "the registry"): string =>
  CLASSES[failure].next.replaceAll("{host}", host);

/** The gRPC status codes that decisions depend on. */
export const CODE = {
  cancelled: 1,
  unknown: 2,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  failedPrecondition: 9,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;
