// Where a registry can put a secret in its answers, as far as containerd reads them.
import { digestOf } from "../rig/layers.ts";
import type { Asked } from "./faults-servers.ts";

interface Place {
  /** Whether containerd 1.7 repeats what stands there. */
  readonly repeated: boolean;
  readonly answer: (text: string, asked: Asked) => string;
}

const http = (status: string, headers: readonly string[] = [], body = ""): string =>
  [
    `HTTP/1.1 ${status}`,
    ...headers,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    "",
    body,
  ].join("\r\n");
const json = (status: string, body: unknown): string =>
  http(status, ["Content-Type: application/json"], JSON.stringify(body));
const page = (status: string, text: string): string =>
  http(status, ["Content-Type: text/html"], `<html><p>${text}</p></html>`);
const errors = (code: string, message: string) => ({ errors: [{ code, message, detail: message }] });

/** A manifest that holds nothing; the answer to a HEAD of it is cut off behind its headers. */
const manifest = (
  method: string,
  {
    type = "application/vnd.oci.image.manifest.v1+json",
    digest = EMPTY,
  }: { type?: string; digest?: string } = {},
): string =>
  http("200 OK", [`Content-Type: ${type}`, `Docker-Content-Digest: ${digest}`], "{}").slice(
    0,
    method === "HEAD" ? -2 : undefined,
  );
const EMPTY = digestOf("{}");
/** No node has it, so that it is asked for. */
const ABSENT = { digest: `sha256:${"0".repeat(64)}` };
/** The manifest is promised, and then not served. */
const promised = (answer: (text: string) => string) => (text: string, asked: Asked) =>
  asked.method === "HEAD" ? manifest("HEAD", ABSENT) : answer(text);

const challenge = (value: string): string => http("401 Unauthorized", [`WWW-Authenticate: ${value}`]);
const token = (answer: (text: string) => string) => (text: string, asked: Asked) =>
  asked.url.startsWith("/token")
    ? answer(text)
    : challenge(`Bearer realm="http://${asked.host}/token",service="rig",scope="repository:a:pull"`);

export const PLACES: Readonly<Record<string, Place>> = {
  "reason phrase": { repeated: true, answer: (text) => http(`500 ${text}`) },
  "status code": { repeated: true, answer: (text) => http(text) },
  version: { repeated: true, answer: (text) => `HTTP/${text} 200 OK\r\n\r\n` },
  "no header": { repeated: true, answer: (text) => http("200 OK", [text]) },
  length: { repeated: true, answer: (text) => `HTTP/1.1 200 OK\r\nContent-Length: ${text}\r\n\r\n` },
  encoding: { repeated: true, answer: (text) => `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${text}\r\n\r\n` },
  "API version": {
    repeated: false,
    answer: (text) => http("500 Error", [`Docker-Distribution-Api-Version: ${text}`]),
  },
  "media type": {
    repeated: true,
    answer: (type, { method }) => manifest(method, { type }),
  },
  digest: { repeated: true, answer: (digest, { method }) => manifest(method, { digest }) },
  redirect: {
    repeated: true,
    answer: (text) => http("307 Temporary Redirect", [`Location: http://127.0.0.1:1/${text}`]),
  },
  "redirect's host": {
    repeated: true,
    answer: (text) => http("307 Temporary Redirect", [`Location: http://[${text}/`]),
  },
  realm: { repeated: true, answer: (text) => challenge(`Bearer realm="http://[${text}",service="rig"`) },
  "realm's path": {
    repeated: true,
    answer: (text) => challenge(`Bearer realm="http://127.0.0.1:1/${text}",service="rig"`),
  },
  "challenge's error": {
    repeated: false,
    answer: (text) => challenge(`Basic realm="${text}",error="denied",error_description="${text}"`),
  },
  "error's message": {
    repeated: true,
    answer: promised((text) => json("403 Forbidden", errors("DENIED", text))),
  },
  "error's code": {
    repeated: false,
    answer: promised((text) => json("403 Forbidden", errors(text, "no"))),
  },
  page: { repeated: false, answer: promised((text) => page("403 Forbidden", text)) },
  "page for a manifest": { repeated: false, answer: promised((text) => page("200 OK", text)) },
  "token's error": {
    repeated: false,
    answer: token((text) => json("401 Unauthorized", errors("UNAUTHORIZED", text))),
  },
  "token's reason phrase": { repeated: true, answer: token((text) => http(`403 ${text}`)) },
  "page for a token": { repeated: false, answer: token((text) => page("200 OK", text)) },
  token: { repeated: false, answer: token((text) => json("200 OK", { token: text, access_token: text })) },
};
