import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { buffer } from "node:stream/consumers";
import type { Endpoint } from "./registry.ts";

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

export interface Question {
  method: string;
  /** Absolute, or below the endpoint. */
  path: string;
  headers?: Record<string, string>;
  body?: Buffer;
}

/** One request of the distribution API. Not fetch: that takes no certificate authority of ours. */
export async function ask(endpoint: Endpoint, question: Question): Promise<Answer> {
  const url = new URL(question.path, `${endpoint.scheme}://${endpoint.host}`);
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const request = (url.protocol === "https:" ? https : http).request(url, {
    method: question.method,
    headers: { ...authorization(endpoint), ...question.headers },
    ...(endpoint.caFile === undefined ? {} : { ca: readFileSync(endpoint.caFile) }),
  });
  request.once("response", resolve).once("error", reject);
  request.end(question.body);
  const response = await promise;
  return { status: response.statusCode ?? 0, headers: response.headers, body: await buffer(response) };
}

/** The same, and an error for every answer but the expected ones. */
export async function askFor(
  endpoint: Endpoint,
  question: Question,
  expected: readonly number[],
): Promise<Answer> {
  const answer = await ask(endpoint, question);
  if (!expected.includes(answer.status)) {
    const text = answer.body.toString("utf8").slice(0, 300);
    throw new Error(`${question.method} ${question.path} gave ${answer.status}: ${text}`);
  }
  return answer;
}

function authorization({ auth }: Endpoint): Record<string, string> {
  if (auth === undefined) return {};
  return { authorization: `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString("base64")}` };
}
