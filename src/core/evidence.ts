// Finds in what a tool or containerd said the class of a failure, and what to do next.
import { actionOf, CODE, nextStep } from "./failure.ts";
import { ANSWERS, LAYER, NODE_RULES, RULES, TOKEN, type Diagnosis, type Rule } from "./rules.ts";
import { statement } from "./statement.ts";

/** containerd's ways to introduce what a registry, a token service or a proxy answered. Behind it anything may stand. */
const ANSWER =
  /(?:unexpected (?:HEAD )?status(?: code| from [A-Z]+ request to)?(?: \S+)?|failed with status code \[[^\]]*\]): \d{3}(?!\d)|(?:pull access denied[^:]*: )?authorization failed: no basic auth credentials|pull access denied|server message: |authorization failed/u;

interface Said {
  /** Without an answer, or up to what was answered: a status or words that deny access. */
  readonly text: string;
  /** What stands behind an answer. */
  readonly words?: string;
}

/** @param raw all that the tool printed, before anything was cut or masked: a password may be a word of a rule */
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

/** @param raw as for diagnose */
export const ruleFor = (raw: string): Rule | undefined => findIn(readAnswer(raw));

/**
 * @param raw all that the tool printed, before anything was cut or masked: a password may be a word of a rule
 * @param shown the same as it may be shown; what the diagnosis repeats comes from here
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
    // It says nothing of the registry, which others may ask.
    action:
      action === "registry-back-off" && (role !== undefined || (found === "server" && isOfLayer(text)))
        ? "back-off"
        : action,
    ...(refused !== undefined && { refused }),
  };
}

/** As containerd and Go tell it; after a redirect the one that it led to. */
const ADDRESS =
  /(?:[A-Z][a-z]+ "|request to |status code )https?:\/\/(?<host>[\w.:[\]-]{1,253})(?<path>\/[^?"\s]*)/gu;

const addressIn = (text: string) => [...text.matchAll(ADDRESS)].at(-1)?.groups;

/** Whether it was answered behind the manifest, which the registry served. */
const isOfLayer = (text: string): boolean => LAYER.test(text) && /(?<!\/manifests\/\S*): \d{3}$/u.test(text);

/** What was asked, where it was not the registry. */
function roleIn(text: string): string | undefined {
  if (TOKEN.test(text)) return "the token service that the registry names";
  const isStore = LAYER.test(text) && addressIn(text)?.["path"]?.includes("/v2/") === false;
  return isStore ? "the store that the registry sends to" : undefined;
}

/** What containerd was doing when it said what nobody knows, and where to look. */
const DOING = [
  [TOKEN, "asking for a token: look at the token service that the registry names"],
  [/failed commit on ref|failed to commit/u, "storing what came: look at containerd's log and disk"],
  [/failed to (?:extract|unpack|apply|mount)|snapshot/u, "unpacking: look at containerd's log and disk"],
  [LAYER, "fetching a layer: look at the registry's log and store"],
  [/failed to resolve /u, "asking for the manifest: look at the registry's log"],
] as const;

function nextAfter(text: string): string {
  const [, doing] = DOING.find(([of]) => of.test(text)) ?? [];
  return `${doing === undefined ? "" : `containerd was ${doing}; `}${nextStep("unknown")}`;
}

/** Of an error of containerd's API, which has no codes of its own for its disk. @param code gRPC's */
export function diagnoseApi(code: number, message: string): Diagnosis {
  const rule = find(NODE_RULES, { text: message });
  if (rule !== undefined) return diagnosisBy(rule, message, message);
  if (code === CODE.cancelled) return { class: "cancelled" };
  return { class: code === CODE.deadlineExceeded || code === CODE.unavailable ? "runtime" : "unknown" };
}

/**
 * containerd's key of a download that an attempt could not finish because what came is not what was promised; kept, it
 * would fail every further attempt. A registry's words name none: they could name the download of another image.
 * @param raw as for diagnose
 */
export function brokenDownload(raw: string): string | undefined {
  const { text, words } = readAnswer(raw);
  if (words === undefined) return /failed commit on ref "(?<ref>[^"]+)"/u.exec(text)?.groups?.["ref"];
  // It goes on behind the end of the blob.
  const digest = /\/blobs\/(?<digest>[^/?\s]+): 416$/u.exec(text)?.groups?.["digest"];
  return digest === undefined ? undefined : `layer-${digest}`;
}
