import { bucketsFor, type TokenBucket } from "./token-bucket.ts";

/** What goes wrong. Offsets are bytes of this answer's body, so after a Range request they count from its start. */
export interface Fault {
  /** Before anything is forwarded. */
  latencyMs?: number;
  /** Answered by the proxy itself. */
  status?: number;
  /** With a status: seconds or a date. */
  retryAfter?: string;
  /** With a status; by default an error as the distribution API words them. */
  body?: string;
  /** Of the requests that this rule matches, open at the same time: one more gets status 429, and is not counted as open. */
  mostAtOnce?: number;
  /** Takes the request and never answers. */
  hang?: boolean;
  /** For each answer by itself. */
  bytesPerSecond?: number;
  /** For all answers of this rule together. */
  sharedBytesPerSecond?: number;
  /** Sends no more, and keeps the connection open. */
  stallAfter?: number;
  /** Closes the connection in the middle. */
  dropAfter?: number;
  /** The same with a TCP reset. */
  resetAfter?: number;
  /** Announces and sends only so many bytes: a complete answer, but too short. */
  truncateAfter?: number;
  /** The byte at this offset arrives changed. */
  corruptAt?: number;
}

export interface Rule extends Fault {
  method?: string;
  path?: RegExp;
  /** Of the blob or manifest asked for. */
  digest?: string;
  /** So many matching requests pass before the rule applies… */
  skip?: number;
  /** …and then it applies so many times; by default to all. */
  times?: number;
}

interface Asked {
  method: string;
  path: string;
  digest?: string;
}

export interface AppliedFault {
  fault: Fault;
  buckets: TokenBucket[];
  /** To be called once, when the request is no longer open. */
  end(): void;
}

export interface RuleBook {
  add(...rules: Rule[]): void;
  clear(): void;
  /** All rules that match, merged: the later wins. Counts the request. */
  apply(asked: Asked): AppliedFault;
}

interface Entry {
  rule: Rule;
  seen: number;
  open: number;
  shared: TokenBucket[];
}

export function ruleBook(): RuleBook {
  let entries: Entry[] = [];
  return {
    add: (...rules) => {
      entries.push(
        ...rules.map((rule) => ({ rule, seen: 0, open: 0, shared: bucketsFor(rule.sharedBytesPerSecond) })),
      );
    },
    clear: () => {
      entries = [];
    },
    apply: (asked) => {
      const due = entries.filter((entry) => matches(entry.rule, asked) && isDue(entry.rule, entry.seen++));
      const refused = due.some(({ rule, open }) => open >= (rule.mostAtOnce ?? Infinity));
      const fault: Fault = Object.assign({}, ...due.map((entry) => entry.rule), refused && { status: 429 });
      return {
        fault,
        buckets: [...bucketsFor(fault.bytesPerSecond), ...due.flatMap((entry) => entry.shared)],
        end: refused ? () => undefined : opened(due),
      };
    },
  };
}

function opened(entries: readonly Entry[]): () => void {
  for (const entry of entries) entry.open += 1;
  return () => {
    for (const entry of entries) entry.open -= 1;
  };
}

function matches(rule: Rule, asked: Asked): boolean {
  if (rule.method !== undefined && rule.method !== asked.method) return false;
  if (rule.digest !== undefined && rule.digest !== asked.digest) return false;
  return rule.path === undefined || rule.path.test(asked.path);
}

function isDue(rule: Rule, seenBefore: number): boolean {
  const skip = rule.skip ?? 0;
  return seenBefore >= skip && seenBefore < skip + (rule.times ?? Infinity);
}
