// Writes what BOSH and operators read of the job's properties, from the schema and the descriptions in src/config: the
// job's spec, properties_schema.json, the same rules in config.json.erb, and the tables of bosh-release/README.md and FAILURES.md.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { configSchema } from "../src/config/schema.ts";
import { failureTable } from "./failure-table.ts";

const release = join(import.meta.dirname, "../bosh-release");
const FILES = {
  spec: join(release, "jobs/import-images/spec"),
  schema: join(release, "jobs/import-images/properties_schema.json"),
  template: join(release, "jobs/import-images/templates/config.json.erb"),
  readme: join(release, "README.md"),
  failures: join(release, "FAILURES.md"),
};

/** What the generator looks at in any schema of valibot; which of it there is depends on the type. */
interface Schema {
  readonly type: string;
  readonly wrapped?: Schema;
  readonly default?: unknown;
  readonly entries?: Readonly<Record<string, Schema>>;
  readonly item?: Schema;
  readonly options?: readonly unknown[];
  readonly literal?: unknown;
  readonly requirement?: unknown;
  readonly message?: unknown;
  readonly getter?: (given: unknown) => Schema;
  readonly pipe?: readonly Schema[];
  readonly metadata?: { readonly json?: Json };
}

const root: Schema = configSchema;

type Json = Readonly<Record<string, unknown>>;

/** An entry of properties.yml. */
interface About {
  readonly description: string;
  /** Keys of items have none, as the example of their list shows them. */
  readonly example?: unknown;
  readonly otherwise?: string;
}

interface Property extends About {
  /** `retry.attempts`, or `images[].name` for a key of a list's items. */
  readonly name: string;
  readonly isRequired: boolean;
  readonly default: unknown;
}

/** Without `optional` and with the entries of what `strict` of schema.ts makes, which depend on what is given. */
function plain(schema: Schema): Schema {
  if (schema.type === "optional" && schema.wrapped !== undefined) return plain(schema.wrapped);
  const inner = (schema.pipe ?? []).map(
    (part) => part.getter?.({}) ?? (part.pipe === undefined ? part : plain(part)),
  );
  return inner.find(({ entries }) => entries !== undefined) ?? schema;
}

function jsonOf(schema: Schema): Json | undefined {
  if (schema.type === "optional" && schema.wrapped !== undefined) return jsonOf(schema.wrapped);
  return (schema.pipe ?? [])
    .map((part) => part.metadata?.json ?? jsonOf(part))
    .find((json) => json !== undefined);
}

const ABOUT = join(import.meta.dirname, "../src/config/properties.yml");
const readAbout = (): Readonly<Record<string, About>> => parse(readFileSync(ABOUT, "utf8"));

function propertiesOf(schema: Schema, all: ReturnType<typeof readAbout>, prefix = ""): Property[] {
  return Object.entries(plain(schema).entries ?? {}).flatMap(([key, entry]) => {
    const name = `${prefix}${key}`;
    const of = plain(entry);
    if (of.entries !== undefined && jsonOf(entry) === undefined) return propertiesOf(entry, all, `${name}.`);
    const about = all[name];
    if (about === undefined) throw new Error(`src/config/properties.yml does not describe ${name}`);
    const property = { name, ...about, isRequired: entry.type !== "optional", default: entry.default };
    return [property, ...(of.item === undefined ? [] : propertiesOf(of.item, all, `${name}[].`))];
  });
}

/** In the order of properties.yml. @throws Error when the descriptions and the schema have not the same properties */
function allProperties(): Property[] {
  const all = readAbout();
  const found = new Map(propertiesOf(root, all).map((one) => [one.name, one]));
  return Object.keys(all).map((name) => {
    const property = found.get(name);
    if (property === undefined) throw new Error(`the schema has no ${name}, which properties.yml describes`);
    return property;
  });
}

const isOfItem = ({ name }: Property): boolean => name.includes("[].");

function specText(properties: readonly Property[]): string {
  const entries = properties
    .filter((property) => !isOfItem(property))
    .map((property) => {
      const items = properties.filter(({ name }) => name.startsWith(`${property.name}[].`));
      const lines = [
        property.description,
        ...(items.length === 0 ? [] : ["Keys of an item:", ...items.map(itemLine)]),
      ];
      const about = {
        description: lines.flatMap((line) => wrapped(line, 106)).join("\n") + (lines.length > 1 ? "\n" : ""),
        ...(property.default === undefined ? {} : { default: property.default }),
        example: property.example,
      };
      return stringify({ [property.name]: about }, { lineWidth: 0, indentSeq: false }).replaceAll(
        /^(?=.)/gmu,
        "  ",
      );
    });
  return `properties:\n${entries.join("\n")}`;
}

const itemLine = (item: Property): string =>
  `- \`${item.name.replace(/^.*\[\]\./u, "")}\`${item.isRequired ? " (required)" : ""}: ${item.description}`;

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > width)
      lines.push(line === undefined ? word : `  ${word}`);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return text.startsWith("- ") ? lines : lines.map((line) => line.trimStart());
}

function tableText(properties: readonly Property[]): string {
  const rows = properties.map(
    (property) => `| \`${property.name}\` | ${shownDefault(property)} | ${property.description} |`,
  );
  return ["| property | default | meaning |", "|---|---|---|", ...rows].join("\n");
}

function shownDefault(property: Property): string {
  if (property.isRequired) return "required";
  if (property.default === undefined) return property.otherwise ?? "";
  return `\`${typeof property.default === "string" ? property.default : JSON.stringify(property.default)}\``;
}

/** BOSH's null is an unset property. */
const orNull = (schema: Json): Json => {
  if (Array.isArray(schema["enum"])) return { ...schema, enum: [...schema["enum"], null] };
  if (Array.isArray(schema["anyOf"])) return { ...schema, anyOf: [...schema["anyOf"], { type: "null" }] };
  const type = schema["type"];
  return { ...schema, type: [...(Array.isArray(type) ? type : [type]), "null"] };
};

/** With what is told of a value that does not fit. */
function jsonSchema(schema: Schema): Json {
  if (schema.type === "optional" && schema.wrapped !== undefined) return orNull(jsonSchema(schema.wrapped));
  const description = messageOf(schema);
  return { ...(description === undefined ? {} : { description }), ...(jsonOf(schema) ?? rulesOf(schema)) };
}

/** The first in a pipe is of the value's type. */
const messageOf = ({ message, pipe }: Schema): unknown =>
  typeof message === "string" ? message : pipe?.map(messageOf).find((one) => one !== undefined);

function rulesOf(schema: Schema): Json {
  const { type, entries, item, options, literal, pipe } = plain(schema);
  if (entries !== undefined) return objectSchema(entries);
  if (item !== undefined) return { type: "array", items: jsonSchema(item) };
  if (type === "picklist") return { enum: options };
  if (type === "literal") return { enum: [literal] };
  if (type === "union") return { anyOf: options?.filter(isSchema).map(jsonSchema) };
  if (type !== "number") return { type };
  const limit = (kind: string): unknown => pipe?.find((action) => action.type === kind)?.requirement;
  return { type: "integer", minimum: limit("min_value"), maximum: limit("max_value") };
}

const isSchema = (option: unknown): option is Schema =>
  typeof option === "object" && option !== null && "type" in option;

const objectSchema = (entries: Readonly<Record<string, Schema>>): Json => ({
  type: "object",
  properties: Object.fromEntries(Object.entries(entries).map(([key, entry]) => [key, jsonSchema(entry)])),
  required: Object.keys(entries).filter((key) => entries[key]?.type !== "optional"),
  additionalProperties: false,
});

/** The director passes on only what the spec declares, and other jobs' properties stand beside ours. */
function schemaText(): string {
  const { additionalProperties: _, required: __, description: ___, ...schema } = jsonSchema(root);
  const text = JSON.stringify(
    { $schema: "https://json-schema.org/draft/2020-12/schema", ...schema },
    null,
    2,
  );
  const shortLists = text.replaceAll(
    /\[\s+(?<items>[^[\]{}]*?)\s+\]/gu,
    (_list, items: string) => `[${items.replaceAll(/\s+/gu, " ")}]`,
  );
  return `${shortLists}\n`;
}

/** The rules as Ruby's JSON: a line for each property, and patterns for the whole text and not for one of its lines. */
function templateText(): string {
  const { properties, required } = jsonSchema(root);
  const rules = Object.entries(Object(properties)).map(
    ([name, rule]) => `${JSON.stringify(name)}: ${JSON.stringify(rule, anchored)}`,
  );
  return `{"type": "object", "required": ${JSON.stringify(required)}, "properties": {\n${rules.join(",\n")}\n}}`;
}

const anchored = (key: string, value: unknown): unknown =>
  key === "pattern"
    ? String(value)
        .replace(/^\^/u, String.raw`\A`)
        .replace(/\$$/u, String.raw`\z`)
    : value;

const RULES = ["JSON.parse(<<'RULES')\n", "\nRULES\n"] as const;
const marks = (name: string) =>
  [`<!-- ${name}: written by npm run generate -->\n`, `\n<!-- end of ${name} -->`] as const;
const SPEC_MARK = "# From here on written by npm run generate.\n";

/** What each generated file should hold, by its path; the parts that are written by hand as they are now. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const properties = allProperties();
  const [head] = readFileSync(FILES.spec, "utf8").split(SPEC_MARK, 1);
  return new Map([
    [FILES.spec, `${head}${SPEC_MARK}${specText(properties)}`],
    [FILES.schema, schemaText()],
    [FILES.template, between(readFileSync(FILES.template, "utf8"), RULES, templateText())],
    [FILES.readme, between(readFileSync(FILES.readme, "utf8"), marks("properties"), tableText(properties))],
    [FILES.failures, between(readFileSync(FILES.failures, "utf8"), marks("failures"), failureTable())],
  ]);
}

/** The whole with this part between the marks. */
function between(whole: string, [from, to]: readonly [string, string], part: string): string {
  const [before, rest = ""] = whole.split(from, 2);
  return `${before}${from}${part}${to}${rest.slice(rest.indexOf(to) + to.length)}`;
}

if (import.meta.main) for (const [file, text] of generatedFiles()) writeFileSync(file, text);
