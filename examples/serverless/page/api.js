// Requests to the server, with the API token if there is one.
//
// A request has one of three ends: a response, a `Problem` (the server's refusal, with its reason), or fetch's own TypeError (nobody answered).

const TOKEN = "serverless-token";

/** How long an answer about functions may take. A function's own answer is waited for as long as its settings let it run. */
const PATIENCE_MS = 10_000;

/** Tells, as the event `unauthorized`, that a request was answered with 401. */
export const events = new EventTarget();

/** What the server refused, from its problem+json: `message` is the detail. */
export class Problem extends Error {
  constructor(status, { title, detail, kind, report, request } = {}) {
    super(detail || title || `the server answered ${status}`);
    Object.assign(this, { status, kind, report, request });
  }
}

export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;
export const useToken = (token) => sessionStorage.setItem(TOKEN, token);

/** The server's answer, whatever it is. */
export async function send(method, path, { body, signal } = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  const response = await fetch(path, { method, headers, body, signal, cache: "no-store" });
  if (response.status === 401) events.dispatchEvent(new Event("unauthorized"));
  return response;
}

/** The problem that a response's text tells of. */
export function problemOf(response, text) {
  if (!response.headers.get("content-type")?.startsWith("application/problem+json")) {
    return new Problem(response.status, { detail: text.trim() });
  }
  try {
    return new Problem(response.status, JSON.parse(text));
  } catch {
    return new Problem(response.status, { detail: text.trim() });
  }
}

async function expect(request) {
  const response = await request;
  if (!response.ok) throw problemOf(response, await response.text());
  return response;
}

async function get(path) {
  const response = await expect(send("GET", path, { signal: AbortSignal.timeout(PATIENCE_MS) }));
  return response.json();
}

const pathOf = (name) => `/functions/${encodeURIComponent(name)}`;

export const functions = () => get("/functions");
export const report = (id) => get(`/reports/${encodeURIComponent(id)}`);
export const remove = (name) => expect(send("DELETE", pathOf(name)));

/** Deploys a file, and tells the function's description. */
export async function deploy(name, query, file) {
  const response = await expect(send("PUT", query ? `${pathOf(name)}?${query}` : pathOf(name), { body: file }));
  return response.json();
}

export const invoke = (name, body, signal) => send("POST", `/invoke/${encodeURIComponent(name)}`, { body, signal });
