// Requests to /v1: the same ones that everybody may send.

import { session } from "./state.js";

/** A refusal: `code` is stable. Code `unreachable`: no broker answered. */
export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

const root = "/v1";
/** A request that has no answer by then has failed. */
const PATIENCE_MS = 75_000;

export const enc = encodeURIComponent;
export const topicPath = topic => `/topics/${enc(topic)}`;
export const queuePath = (topic, queue) => `/topics/${enc(topic)}/queues/${enc(queue)}`;

/** A query string of what is given; lists give one entry each. */
export function query(values) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") params.append(name, one);
    }
  }
  const text = params.toString();
  return text ? `?${text}` : "";
}

/** Sends; the answer as it came, good ones only. */
export async function send(method, path, { body, headers = {}, signal } = {}) {
  const all = { ...headers };
  const csrf = session.get()?.csrf;
  if (csrf && method !== "GET") all["octoq-csrf"] = csrf;
  if (body !== undefined && !all["content-type"]) all["content-type"] = "application/json";
  let answer;
  try {
    const limit = AbortSignal.timeout(PATIENCE_MS);
    answer = await fetch(root + path, {
      method,
      body,
      headers: all,
      credentials: "same-origin",
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "the broker does not answer");
  }
  if (answer.ok) return answer;
  let problem = {};
  try {
    problem = await answer.json();
  } catch {
    // Not from the broker itself: the status has to do.
  }
  if (answer.status === 401 && path !== "/session" && session.get()) session.set(null);
  throw new ApiError(answer.status, problem.code ?? `http_${answer.status}`, problem.detail ?? answer.statusText);
}

/** Sends JSON, gives JSON, or null when there is none. */
export async function ask(method, path, body, more = {}) {
  const answer = await send(method, path, { body: body === undefined ? undefined : JSON.stringify(body), ...more });
  if (answer.status === 204) return null;
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

export const get = (path, more) => ask("GET", path, undefined, more);
export const post = (path, body) => ask("POST", path, body);

/** Throws the first refusal in a list of results; else gives how many there are. */
export function settled({ results }) {
  for (const result of results) {
    if (result.problem) throw new ApiError(result.problem.status, result.problem.code, result.problem.detail);
  }
  return results.length;
}

const quoted = text => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The same request for a terminal. It has no credentials in it. */
export function curl(method, path, body) {
  const parts = ["curl", "-sS"];
  if (method !== (body === undefined ? "GET" : "POST")) parts.push("-X", method);
  if (session.get() && !session.get().anonymous) parts.push("-u", quoted(session.get().user ?? "USER"));
  parts.push(quoted(location.origin + root + path));
  if (body !== undefined) parts.push("--json", quoted(typeof body === "string" ? body : JSON.stringify(body)));
  return parts.join(" ");
}

/** The address of a WebSocket. */
export const socketUrl = path => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${root}${path}`;

/** Asks who we are. Null: a login is needed. */
export async function whoami() {
  try {
    const who = await get("/session");
    // Who has not changed is the same: nothing is drawn again.
    if (JSON.stringify(who) !== JSON.stringify(session.get())) session.set(who);
  } catch (error) {
    if (error.status === 401) session.set(null);
    else throw error;
  }
}
