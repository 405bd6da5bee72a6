// What crictl and ctr print, without the frame that they put around it: the statement that tells why.

// Where the statement stands. A registry cannot forge these lines: its words are escaped there, or indented.
const QUOTED = String.raw`"(?<said>[^"\\]*(?:\\.[^"\\]*)*)`;
/** The last log line of crictl; without its closing quote where the text was cut. */
const LOGGED = new RegExp(String.raw`^time="[^"]*" level=(?:fatal|error) msg=${QUOTED}`, "gmu");
/** The same error as crictl's library logs it before, for when the last line was cut off. */
const LOGGED_BEFORE = new RegExp(String.raw`^E\d{4} [^\n]*? err=${QUOTED}`, "mu");
const LOGGED_BLOCK = /^E\d{4} [^\n]*? err=<\n(?<said>(?:\t[^\n]*\n?)*)/mu;
/** ctr says it plainly, below warnings that it logs. */
const PLAIN = /^ctr: [^]*/mu;

/** What the tool says is wrong, without its frame; all of a text that has no such frame. */
export function statement(raw: string): string {
  const [plain] = PLAIN.exec(raw) ?? [];
  if (plain !== undefined) return plain.trim();
  const logged = [...raw.matchAll(LOGGED)].at(-1) ?? LOGGED_BEFORE.exec(raw);
  const said = logged?.groups?.["said"]?.replaceAll(/\\(?<escaped>["\\nt])/gu, unescape);
  return (said ?? LOGGED_BLOCK.exec(raw)?.groups?.["said"] ?? raw).trim();
}

/** Within Go's quotes. */
const unescape = (_match: string, escaped: string): string => ({ n: "\n", t: "\t" })[escaped] ?? escaped;

/** What every pull's error begins with, and every reader knows. */
const PREAMBLE =
  /^(?:ctr: |pulling image: )?(?:rpc error: code = \w+ desc = )?(?:failed to pull and unpack image "[^"]*": )?/u;
/** A token's scope repeats the image's name, and would push what was answered out of sight. */
const LONG_QUERY = /(?<address>https?:\/\/[^\s?"]+\?)[^\s"]{40,}[^\s":]/gu;
/** Characters: of a message, and of one that nobody knows, which is told in full. */
const [LONGEST, IN_FULL] = [600, 6_000];

/** A tool's message as a person wants to read it, in one line; classify the whole text, not this. */
export function essence(text: string, { inFull = false } = {}): string {
  const said = statement(text).slice(0, IN_FULL).replace(PREAMBLE, "").replaceAll(LONG_QUERY, "$<address>…");
  const line = said.replaceAll(/[\s\p{Cc}]+/gu, " ").trim();
  return line.length <= LONGEST || inFull ? line : `${line.slice(0, LONGEST)}…`;
}
