import * as v from "valibot";

/** An object that is no list: a list would pass as an object without the properties that are asked for. */
export const propertySet = (message: string) =>
  v.custom<Record<string, unknown>>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    message,
  );
