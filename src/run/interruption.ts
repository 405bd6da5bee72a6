// Why an attempt, or the whole run, was ended by us rather than by the tool.
import type { Failure } from "../core/failure.ts";

/** The reason of an abort. What it carries becomes the failure of every image that it hits. */
export class Interruption extends Error implements Failure {
  override readonly name = "Interruption";
  readonly class: Failure["class"];

  constructor(failure: Failure) {
    super(failure.message);
    this.class = failure.class;
  }
}
