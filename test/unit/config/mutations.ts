// Configurations with anything in them: the parts that hostile ones are made of, and slips of the editor in a good one.
import fc from "fast-check";

/** In every text that is a secret. */
export const MARKER = "S3CR3T";

/** Any, which fast-check's own "binary" takes seconds to prepare. */
const character = fc.nat(0x10_ff_ff).map((code) => String.fromCodePoint(code));

/** Texts with the marker in them, none of which is a reference: those that are may be named in a conflict. */
export const secretText = fc.oneof(
  fc.constantFrom(
    `${MARKER}=`,
    `${MARKER} word`,
    `${MARKER}\u0000`,
    `\u001b[2J${MARKER}`,
    `${MARKER}\n  images: forged`,
    `$(touch pwned) ${MARKER}`,
    `"${MARKER}"`,
    `{"auths": {"${MARKER}": "${MARKER}"}}`,
    `{"auths": {"a.b": {"auth": "${MARKER}="}}`,
    `["${MARKER}"]`,
    `https://user:${MARKER}@a.b/c`,
    `a.b/c@sha256:${MARKER}`,
    `-${MARKER} `,
    Buffer.from(`${MARKER}:${MARKER}`).toString("base64"),
    Buffer.from(MARKER).toString("base64"),
    `${MARKER}h`.repeat(2_000),
  ),
  fc
    .tuple(fc.string(), fc.constantFrom("=", " ", "\n", '"'), fc.string())
    .map(([before, odd, after]) => before + MARKER + odd + after),
  fc.string({ unit: character }).map((text) => `${text}${MARKER}=`),
);
export const otherLeaf = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    Infinity,
    Number.NaN,
    "",
    [],
    {},
    [[]],
    "auto",
    "5s",
    "a.b/c:1",
  ),
  fc.double(),
  fc.bigInt(),
);
export const KEYS = [
  "images name auth username password retagAs pullPolicy required pin timeout registries host",
  "docker_config auths retry attempts containerd crictl socket disk min_free_percent archives path",
  "concurrency deadline log_level on_failure",
].flatMap((words) => words.split(" "));
export const secretKey = fc.oneof(
  fc.constantFrom(
    MARKER,
    `${MARKER}word`,
    `Bearer ${MARKER}`,
    "__proto__",
    "constructor",
    "toString",
    "",
    "0",
    "length",
  ),
  secretText,
);
/** A good configuration with something put at a place of it. */
export function placed(changes: readonly (readonly [readonly (string | number)[], unknown])[]): unknown {
  const config: Record<string, unknown> = {
    images: [{ name: "a.b/c:1", retagAs: ["d.e/f:1", "d.e/g:1"] }, { name: "nginx" }],
    registries: [{ host: "a.b", username: "u", password: "p" }],
    docker_config: { auths: { "a.b": { auth: "dTpw" } } },
    retry: {},
    containerd: {},
    archives: [{ path: "/x" }],
  };
  for (const [keys, value] of changes) put(config, keys, value);
  return config;
}
function put(target: unknown, [first, ...rest]: readonly (string | number)[], value: unknown): void {
  if (typeof target !== "object" || target === null || first === undefined) return;
  if (rest.length > 0) put(Reflect.get(target, first), rest, value);
  else Object.defineProperty(target, first, { value, enumerable: true, configurable: true, writable: true });
}

/** Changes one thing at a place of a tree, as a slip of the editor does. */
type Mutation = readonly [
  kind: "drop" | "double" | "rename" | "replace" | "swap",
  at: number,
  value: unknown,
];

export function mutated(root: unknown, mutations: readonly Mutation[]): unknown {
  const holder = { root: structuredClone(root) };
  for (const [kind, at, value] of mutations) {
    const places = placesOf(holder.root, holder, "root");
    const [parent, key] = places[at % places.length] ?? [holder, "root"];
    const [other, otherKey] = places[(at * 7) % places.length] ?? [holder, "root"];
    const old: unknown = Reflect.get(parent, key);
    if (kind === "drop") Reflect.deleteProperty(parent, key);
    else if (kind === "double") Reflect.set(parent, key, [old, old]);
    else if (kind === "rename" && !Array.isArray(parent))
      Object.defineProperty(parent, String(value), { value: old, enumerable: true, configurable: true });
    else if (kind === "replace") Reflect.set(parent, key, value);
    else Reflect.set(parent, key, structuredClone(Reflect.get(other, otherKey)));
  }
  return holder.root;
}

function placesOf(value: unknown, parent: object, key: string): (readonly [object, string])[] {
  const below =
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([name, part]) => placesOf(part, value, name))
      : [];
  return [[parent, key], ...below];
}

export const mutation: fc.Arbitrary<Mutation> = fc.tuple(
  fc.constantFrom("drop", "double", "rename", "replace", "swap"),
  fc.nat(1_000),
  fc.oneof(otherLeaf, secretText, secretKey, fc.constantFrom(...KEYS)),
);

export const jsonOf = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? 0 : part)) ?? "";
