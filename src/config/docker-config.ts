// The content of a docker config.json, as text or already parsed; only its `auths` are used.
import * as v from "valibot";
import {
  credentialFromAuth,
  credentialFromPair,
  registryHost,
  type Credential,
} from "../core/credentials.ts";
import { propertySet } from "./property-set.ts";

const UNUSABLE =
  "has an entry without usable credentials (auth as base64 of user:password, or username and password)";

const entry = v.pipe(
  propertySet(UNUSABLE),
  v.looseObject({
    auth: v.optional(v.string(UNUSABLE)),
    username: v.optional(v.string(UNUSABLE)),
    password: v.optional(v.string(UNUSABLE)),
  }),
  v.rawTransform(({ dataset: { value }, addIssue, NEVER }): Credential => {
    const { auth, username, password } = value;
    const pair =
      username === undefined || password === undefined ? undefined : credentialFromPair(username, password);
    const credential = auth === undefined || auth === "" ? pair : credentialFromAuth(auth);
    if (credential !== undefined) return credential;
    addIssue({ message: UNUSABLE });
    return NEVER;
  }),
);

const byHost = v.pipe(propertySet(UNUSABLE), v.record(v.string(), entry));

const content = v.pipe(
  propertySet("must be a JSON object"),
  v.looseObject({ auths: v.optional(byHost, {}) }),
  v.transform(({ auths }) =>
    Object.entries(auths).map(([host, credential]) => ({ host: registryHost(host), credential })),
  ),
);

/** JSON.parse's own message repeats the text, so it is dropped. */
const json = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }): unknown => {
    try {
      return JSON.parse(dataset.value);
    } catch {
      addIssue({ message: "is not the JSON of a docker config.json" });
      return NEVER;
    }
  }),
);

/** Credentials by registry, in the order of the file. */
export const dockerConfig = v.lazy((input) => (typeof input === "string" ? v.pipe(json, content) : content));
