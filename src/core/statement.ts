// Extracts from the output of crictl and ctr the statement of the cause, without the tool's frame.

// A registry cannot forge these lines: its text is escaped or indented in them.
const QUOTED = String.raw`"(?<said>[^"\\]*(?:\\.[^"\\]*)*)`;
/** crictl's last log line; its closing quote is missing in shortened output. */
const LOGGED = new RegExp(String.raw`^time="[^"]*" level=(?:fatal|error) msg=${QUOTED}`, "gmu");
/** The same error as crictl's library logs it earlier, in case the last line was cut off. */
const LOGGED_BEFORE = new RegExp(String.raw`^E\d{4} [^\n]*? err=${QUOTED}`, "mu");
const LOGGED_BLOCK = /^E\d{4} [^\n]*? err=<\n(?<said>(?:\t[^\n]*\n?)*)/mu;
/** ctr prints the error unquoted, after any warnings that it logs. */
const PLAIN = /^ctr: [^]*/mu;

/** @returns the tool's statement without its frame; all of the text if it has no frame */
export function statement(raw: string): string {
  const [plain] = PLAIN.exec(raw) ?? [];
  if (plain !== undefined) return plain.trim();
  const logged = ([...raw.matchAll(LOGGED)].at(-1) ?? LOGGED_BEFORE.exec(raw))?.[1];
  const said = logged?.replaceAll(/\\(?<escaped>["\\nt])/gu, unescape);
  return (said ?? LOGGED_BLOCK.exec(raw)?.[1] ?? raw).trim();
}

/** Inside Go's quotes. */
const unescape = (_match: string, escaped: string): string => ({ n: "\n", t: "\t" })[escaped] ?? escaped;

/** The start of every pull error, which tells the reader nothing new. All parts are optional, so it matches there. */
const PREAMBLE =
  /(?:ctr: |pulling image: )?(?:rpc error: code = \w+ desc = )?(?:failed to pull and unpack image "[^"]*": )?/u;
/** A token request's scope repeats the image's name, and would push the answer out of sight. */
const LONG_QUERY = /(?<address>https?:\/\/[^\s?"]+\?)[^\s"]{40,}[^\s":]/gu;
/** Characters of a message, and of one with an unknown cause, which is shown in full. */
const [LONGEST, IN_FULL] = [600, 6_000];

/** A tool's message in one line, for people. Classify the complete text instead. */
export function essence(text: string, { inFull = false } = {}): string {
  const said = statement(text).slice(0, IN_FULL).replace(PREAMBLE, "").replaceAll(LONG_QUERY, "$<address>…");
  const line = said.replaceAll(/[\s\p{Cc}]+/gu, " ").trim();
  return line.length <= LONGEST || inFull ? line : `${line.slice(0, LONGEST)}…`;
}
