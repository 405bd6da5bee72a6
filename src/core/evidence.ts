// Finds the class of a failure, and the next step, in the output of a tool or of containerd.
import { actionOf, CODE, nextStep } from "./failure.ts";
import { ANSWERS, LAYER, NODE_RULES, RULES, TOKEN, type Diagnosis, type Rule } from "./rules.ts";
import { statement } from "./statement.ts";

/** How containerd introduces the answer of a registry, a token service or a proxy. Any text may follow it. */
const ANSWER =
  /(?:unexpected (?:HEAD )?status(?: code| from [A-Z]+ request to)?(?: \S+)?|failed with status code \[[^\]]*\]): \d{3}(?!\d)|(?:pull access denied[^:]*: )?authorization failed: no basic auth credentials|pull access denied|server message: |authorization failed/u;

interface Said {
  /** All text if there is no answer, or else everything up to its status or its denial. */
  readonly text: string;
  /** Text after the answer. */
  readonly words?: string;
}

function readAnswer(raw: string): Said {
  const said = statement(raw);
  const match = ANSWER.exec(said);
  if (match === null) return { text: said };
  const end = match.index + match[0].length;
  return { text: said.slice(0, end), words: said.slice(end) };
}

function find(rules: readonly Rule[], { text, words = "" }: Said): Rule | undefined {
  return rules.find(
    (rule) => rule.patterns.every((pattern) => pattern.test(text)) && (rule.words?.test(words) ?? true),
  );
}

const findIn = (said: Said): Rule | undefined => find(said.words === undefined ? RULES : ANSWERS, said);

/** @param raw as for `diagnose` */
export const ruleFor = (raw: string): Rule | undefined => findIn(readAnswer(raw));

/**
 * @param raw the tool's complete output, neither shortened nor redacted: a password may be a word of a rule
 * @param shown the redacted output; what the diagnosis quotes comes from it
 */
export function diagnose(raw: string, shown = raw): Diagnosis {
  const said = readAnswer(raw);
  const rule = findIn(said);
  if (rule === undefined) return { class: "unknown", next: nextAfter(said.text) };
  return diagnosisBy(rule, said.text, readAnswer(shown).text);
}

function diagnosisBy(rule: Rule, text: string, shown: string): Diagnosis {
  const { class: found, refused, next } = rule;
  const role = roleIn(text);
  const host = `${addressIn(shown)?.["host"] ?? "the registry"}${role === undefined ? "" : `, ${role}`}`;
  const action = actionOf(rule);
  return {
    class: found,
    next: next?.replaceAll("{host}", host) ?? nextStep(found, host),
    // The failure of a token service, a store or a layer says nothing about the registry, so other images continue.
    action:
      action === "registry-back-off" && (role !== undefined || (found === "server" && isOfLayer(text)))
        ? "back-off"
        : action,
    ...(refused !== undefined && { refused }),
  };
}

/** The URL as containerd and Go print it; the last one is the target of any redirect. */
const ADDRESS =
  /(?:[A-Z][a-z]+ "|request to |status code )https?:\/\/(?<host>[\w.:[\]-]{1,253})(?<path>\/[^?"\s]*)/gu;

const addressIn = (text: string) => [...text.matchAll(ADDRESS)].at(-1)?.groups;

/** Whether the answer is about a layer or config, so that the registry has served the manifest. */
const isOfLayer = (text: string): boolean => LAYER.test(text) && /(?<!\/manifests\/\S*): \d/u.test(text);

/** The role of the host that answered; undefined for the registry itself. */
function roleIn(text: string): string | undefined {
  if (TOKEN.test(text)) return "the token service that the registry names";
  const path = LAYER.test(text) ? addressIn(text)?.["path"] : undefined;
  return path === undefined || path.includes("/v2/") ? undefined : "the store that the registry sends to";
}

/** Activity of containerd at an error that no rule knows, and where to look. */
const DOING = [
  [TOKEN, "asking for a token: look at the token service that the registry names"],
  [/failed commit on ref|failed to commit/u, "storing what came: look at containerd's log and disk"],
  [/failed to (?:extract|unpack|apply|mount)|snapshot/u, "unpacking: look at containerd's log and disk"],
  [LAYER, "fetching a layer: look at the registry's log and store"],
  [/failed to resolve /u, "asking for the manifest: look at the registry's log"],
] as const;

function nextAfter(text: string): string {
  const doing = DOING.find(([of]) => of.test(text))?.[1];
  return `${doing === undefined ? "" : `containerd was ${doing}; `}${nextStep("unknown")}`;
}

/** Classifies by text first, because containerd's API has no codes for disk errors. @param code gRPC status code */
export function diagnoseApi(code: number, message: string): Diagnosis {
  const rule = find(NODE_RULES, { text: message });
  if (rule !== undefined) return diagnosisBy(rule, message, message);
  if (code === CODE.cancelled) return { class: "cancelled" };
  return { class: code === CODE.deadlineExceeded || code === CODE.unavailable ? "runtime" : "unknown" };
}

/**
 * @param raw as for `diagnose`
 * @returns containerd's ref of a download whose content is not what was promised: if kept, it fails every attempt.
 * Ignores the registry's own words, which could name another image's download.
 */
export function brokenDownload(raw: string): string | undefined {
  const { text, words } = readAnswer(raw);
  if (words === undefined) return /(?<=failed commit on ref ")[^"]+/u.exec(text)?.[0];
  // The resumed download starts beyond the end of the blob.
  const digest = /(?<=\/blobs\/)[^/?\s]+(?=: 416)/u.exec(text)?.[0];
  return digest === undefined ? undefined : `layer-${digest}`;
}
