// The one place that talks to the server.

/** As people write: a capital first, a full stop last. A remedy may be code, which ends as it is. */
const sentence = (text) => {
  const first = /^[a-z]+ /.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?…)'"`\]}]$/.test(first) ? first : `${first}.`;
};

export class ApiError extends Error {
  constructor({ message, where = null, line = null, column = null, remedy = null }, status) {
    super(line === null ? sentence(message) : message); // of an equation, a first word may be a name in it
    Object.assign(this, { where, line, column, remedy: remedy && sentence(remedy), status });
  }

  /** The server is gone: nothing answered. */
  get gone() {
    return this.status === 0;
  }
}

const KEPT = "gatewright-token";

/** A token in the address is kept for this tab and taken out of the address. */
export function takeToken() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given === null) return;
  sessionStorage.setItem(KEPT, given);
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

const token = () => sessionStorage.getItem(KEPT);

async function call(path, options = {}) {
  const headers = { ...(options.body ? { "Content-Type": "application/json" } : {}) };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new ApiError(
      { message: "The explorer’s server does not answer.", remedy: "Start `gatewright explore` again in the terminal." },
      0,
    );
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  const error = told?.error ?? { message: `The server answered ${answer.status} ${answer.statusText}.` };
  throw new ApiError(error, answer.status);
}

function query(path, given) {
  const asked = new URLSearchParams();
  for (const [key, value] of Object.entries(given ?? {})) if (value !== null && value !== undefined) asked.set(key, value);
  return asked.size ? `${path}?${asked}` : path;
}

export const get = async (path, given, signal) => (await call(query(path, given), { signal })).json();
export const getText = async (path, given, signal) => (await call(query(path, given), { signal })).text();
export const post = async (path, body = {}, signal) =>
  (await call(path, { method: "POST", body: JSON.stringify(body), signal })).json();

/** The progress of a job, one object an event; `close()` stops listening. */
export function listen(job, heard) {
  const source = new EventSource(query(`/api/jobs/${encodeURIComponent(job)}/events`, { token: token() }));
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (["done", "error", "stopped"].includes(told.kind) && !told.cell) source.close();
    heard(told);
  };
  source.onerror = () => {
    source.close();
    heard({ kind: "error", message: "The connection to the server was lost.", remedy: "Start again." });
  };
  return source;
}

/** An array that travelled as base64: {shape, data}. Plain lists are taken too. */
export function numbers(given) {
  if (given === null || given === undefined) return null;
  if (Array.isArray(given)) {
    const shape = Array.isArray(given[0]) ? [given.length, given[0].length] : [given.length];
    return { shape, data: Float32Array.from(given.flat(), (v) => v ?? NaN) };
  }
  const bytes = Uint8Array.from(atob(given.base64), (letter) => letter.charCodeAt(0));
  return { shape: given.shape, data: new Float32Array(bytes.buffer) };
}

/** Runs one request at a time of a kind: a newer one ends the older, which then answers `undefined`. */
export function latest(ask) {
  let running = null;
  return async (...given) => {
    running?.abort();
    const own = (running = new AbortController());
    try {
      return await ask(own.signal, ...given);
    } catch (problem) {
      if (problem.name === "AbortError") return undefined;
      throw problem;
    }
  };
}
