// The agent's message bus as the director uses it: a request, or a task that is begun, asked for and cancelled.
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { poll } from "../rig/poll.ts";

export interface AgentClient {
  /** The value of an answer; an error if the agent says so. */
  call(method: string, ...args: readonly unknown[]): Promise<unknown>;
  /** Begins what the agent does as a task; its id. */
  begin(method: string, ...args: readonly unknown[]): Promise<string>;
  /** The value of a task, once it has ended. */
  finish(task: string): Promise<unknown>;
}

interface Task {
  readonly agent_task_id: string;
  readonly state: string;
}

interface Answer {
  readonly value?: unknown;
  readonly exception?: { readonly message: string };
}

const isRunning = (value: unknown): value is Task =>
  typeof value === "object" &&
  value !== null &&
  "state" in value &&
  value.state === "running" &&
  "agent_task_id" in value;

export function agentClient(mbus: string, caFile: string): AgentClient {
  const ask = (method: string, ...args: readonly unknown[]): Promise<Answer> =>
    post(mbus, caFile, { method, arguments: args, reply_to: "rig" });
  const begin: AgentClient["begin"] = async (method, ...args) => {
    const value = valueOf(await ask(method, ...args));
    if (!isRunning(value)) throw new Error(`${method} is no task: ${JSON.stringify(value)}`);
    return value.agent_task_id;
  };
  const finish: AgentClient["finish"] = async (task) => {
    const ended = async (): Promise<Answer | undefined> => {
      const answer = await ask("get_task", task);
      return isRunning(answer.value) ? undefined : answer;
    };
    return valueOf(await poll(`agent task ${task} has ended`, ended, { bound: 60_000, every: 50 }));
  };
  return { call: async (method, ...args) => valueOf(await ask(method, ...args)), begin, finish };
}

function valueOf({ value, exception }: Answer): unknown {
  if (exception !== undefined) throw new Error(exception.message);
  return value;
}

function post(mbus: string, caFile: string, message: object): Promise<Answer> {
  const { username, password, hostname, port } = new URL(mbus);
  return new Promise((resolve, reject) => {
    const options = {
      hostname,
      port,
      path: "/agent",
      method: "POST",
      auth: `${username}:${password}`,
      ca: readFileSync(caFile),
    };
    const sent = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const body = Buffer.concat(chunks).toString("utf8");
        if (response.statusCode === 200) resolve(JSON.parse(body) as Answer);
        else reject(new Error(`agent answered ${response.statusCode}: ${body}`));
      });
    });
    sent.on("error", reject);
    sent.end(JSON.stringify(message));
  });
}
