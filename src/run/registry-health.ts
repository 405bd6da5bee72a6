// What this run has learned about each registry: when it may be asked again, by how many images at once, and which
// credentials it took or refused.
import { EventEmitter, once } from "node:events";
import { actionOf, type Failure, type FailureClass } from "../core/failure.ts";
import type { WantedImage } from "../core/plan.ts";
import { backOff, type RetryPolicy } from "../core/retry.ts";
import type { Clock } from "./context.ts";

/** One attempt at a registry. */
export type Visit = NonNullable<ReturnType<RegistryHealth["enter"]>>;

/** What is known of one registry since it last gave an image. */
interface Registry {
  /** How often in a row all had to wait for it in vain, or the one that asked alone met silence. */
  rounds: number;
  /** By the clock that was given. */
  opensAt: number;
  /** Images for which it fell silent, in a row. */
  readonly stalled: Set<string>;
}

const nothingKnown = (): Registry => ({ rounds: 0, opensAt: 0, stalled: new Set() });

/** A registry that fell silent for so many images in a row is hung, and not slow with one. */
const HUNG = 2;
/** After any other failure it has said something, or what failed is not the registry's. */
const SILENT = new Set<FailureClass>(["stall", "timeout", "network"]);

/** Every wait and delay is by the clock that it is given. */
export class RegistryHealth {
  readonly #registries = new Map<string, Registry>();
  readonly #logins = new Map<string, "taken" | "refused">();
  /** What only one image may have at a time: registries by their host, and logins. */
  readonly #inUse = new Set<string>();
  /** Tells all who wait that a login was taken, or that something is no longer in use. */
  readonly #changes = new EventEmitter().setMaxListeners(0);
  readonly #policy: RetryPolicy;
  readonly #clock: Clock;

  constructor(policy: RetryPolicy, clock: Clock) {
    this.#policy = policy;
    this.#clock = clock;
  }

  readonly #at = (host: string): Registry => this.#registries.getOrInsertComputed(host, nothingKnown);
  readonly #isExhausted = (host: string): boolean => this.#at(host).rounds >= this.#policy.attempts;
  readonly #isHung = (host: string): boolean => this.#at(host).stalled.size >= HUNG;
  readonly #mayEnter = (image: WantedImage): boolean =>
    this.waitFor(image.source.domain) === 0 && !this.#contested(image).some((key) => this.#inUse.has(key));

  /** Milliseconds until the registry may be asked again; 0 is now. */
  waitFor(host: string): number {
    return Math.max(0, this.#at(host).opensAt - this.#clock.now());
  }

  /** Resolves when `enter` would let this image in; awaited without a slot. Rejects with the signal's reason. */
  async untilOpen(image: WantedImage, signal: AbortSignal): Promise<void> {
    while (!this.#mayEnter(image)) {
      const ms = this.waitFor(image.source.domain);
      if (ms > 0) await this.#clock.sleep(ms, signal);
      else await once(this.#changes, "change", { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /** Lets one attempt in, to be disposed when it is over; undefined when it has to wait again. */
  enter(image: WantedImage) {
    if (!this.#mayEnter(image)) return undefined;
    const host = image.source.domain;
    const keys = this.#contested(image);
    const login = loginOf(image);
    const alone = this.#isHung(host);
    const answered = (): void => {
      if (login !== undefined) this.#logins.set(login, "taken");
      this.#changes.emit("change");
    };
    for (const key of keys) this.#inUse.add(key);
    return {
      /** The registry refused these credentials and never took them: a further try nears a lock-out. */
      refused: login !== undefined && this.#logins.get(login) === "refused",
      /** It had all its rounds in vain: an image that was tried already need not be tried again. */
      exhausted: this.#isExhausted(host),
      /** Bytes of the image arrive, so its login was taken: those who wait for that need not wait for the rest. */
      answered,
      succeeded: (): void => {
        this.#registries.delete(host);
        answered();
      },
      /** @returns whether the registry is exhausted now */
      failed: (failure: Failure): boolean => {
        // One that was taken before is right: then it was that one repository.
        if (failure.refused !== undefined && login !== undefined) this.#logins.getOrInsert(login, "refused");
        return this.#failed(image, failure.class, alone);
      },
      [Symbol.dispose]: (): void => {
        for (const key of keys) this.#inUse.delete(key);
        this.#changes.emit("change");
      },
    };
  }

  /** Keys of what the image needs for itself. */
  #contested(image: WantedImage): string[] {
    const [host, login] = [image.source.domain, loginOf(image)];
    const isNew = login !== undefined && !this.#logins.has(login);
    return [...(this.#isHung(host) ? [host] : []), ...(isNew ? [login] : [])];
  }

  /** @returns whether it is exhausted now */
  #failed({ source }: WantedImage, failure: FailureClass, alone: boolean): boolean {
    const host = source.domain;
    const registry = this.#at(host);
    const [stalled, concernsAll] = [
      failure === "stall",
      actionOf({ class: failure }) === "registry-back-off",
    ];
    if (!SILENT.has(failure)) registry.stalled.clear();
    if (stalled) registry.stalled.add(source.name);
    if (stalled && alone) registry.rounds += 1;
    // Pulls that were under way together fail together: one round, not several.
    if (concernsAll && !this.#isExhausted(host) && this.waitFor(host) === 0) {
      registry.rounds += 1;
      const wait = backOff(this.#policy, failure, registry.rounds, this.#clock.random());
      registry.opensAt = this.#clock.now() + wait;
    }
    return (stalled || concernsAll) && this.#isExhausted(host);
  }
}

const loginOf = ({ source, credential }: WantedImage): string | undefined =>
  credential && `${source.domain} ${credential.auth}`;
