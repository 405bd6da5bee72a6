// Values that many tests need, each as plain as it can be.
import { credentialFromPair, type Credential } from "../../src/core/credentials.ts";
import type { Failure, FailureClass } from "../../src/core/failure.ts";
import type { PresentImage, WantedImage } from "../../src/core/plan.ts";
import { parseReference, type Reference } from "../../src/core/reference.ts";

export function reference(text: string): Reference {
  const parsed = parseReference(text);
  if (!parsed.ok) throw new Error(`bad sample: ${parsed.problem}`);
  return parsed.reference;
}

export const digestOf = (letter: string): string => `sha256:${letter.repeat(64)}`;

export const credential = (user = "robot", password = "hunter2"): Credential =>
  credentialFromPair(user, password);

/** An image that is wanted as the defaults have it. */
export const wanted = (name: string, overrides: Partial<Omit<WantedImage, "source">> = {}): WantedImage => ({
  source: reference(name),
  targets: [],
  pullPolicy: "IfNotPresent",
  required: true,
  pin: true,
  timeout: 60_000,
  ...overrides,
});

/** An image as CRI lists it, with normalised names. */
export const present = (
  id: string,
  names: readonly string[],
  overrides: Partial<PresentImage> = {},
): PresentImage => ({
  id,
  names: names.map((name) => reference(name).name),
  size: 1_000,
  pinned: false,
  ...overrides,
});

export const failure = (failureClass: FailureClass, message: string = failureClass): Failure => ({
  class: failureClass,
  message,
});
