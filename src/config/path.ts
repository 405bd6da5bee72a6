// Paths to a place in the configuration, as operators read them: `images[3].retagAs`.

export type PathKey = string | number;

/** A key that does not look like a property's name may be a value gone astray, so it is not repeated. */
const PROPERTY = /^[A-Za-z][\w.-]{0,31}$/u;

export function formatPath(keys: readonly PathKey[]): string {
  const path = keys.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    const name = PROPERTY.test(key) ? key : "(unprintable key)";
    return text === "" ? name : `${text}.${name}`;
  }, "");
  return path === "" ? "configuration" : path;
}
