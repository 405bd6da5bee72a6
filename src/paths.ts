// Where BOSH puts things. The two environment variables exist for tests and for trying it out beside a BOSH VM.

export interface Paths {
  readonly config: string;
  /** Directory of import-images.log. */
  readonly log: string;
  /** Directory of status.json and the lock. */
  readonly state: string;
}

export const paths = (environment: Readonly<Record<string, string | undefined>>): Paths => ({
  config: "/var/vcap/jobs/import-images/config/config.json",
  log: environment["IMPORT_IMAGES_LOG_DIR"] ?? "/var/vcap/sys/log/import-images",
  state: environment["IMPORT_IMAGES_STATE_DIR"] ?? "/var/vcap/data/import-images",
});
