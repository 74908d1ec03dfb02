// The front's API /zimg/v1: questions and refusals.

export const ROOT = "zimg/v1/";

/** What the front refused, with its sentence. */
export class Refusal extends Error {
  /** @param {number} status @param {any} error */
  constructor(status, error) {
    super(error?.message ?? "");
    this.status = status;
    this.kind = String(error?.kind ?? (status ? "internal" : "offline"));
    /** @type {string | null} */
    this.hint = error?.hint ?? null;
    /** @type {string | null} */
    this.param = error?.param ?? null;
    /** @type {number | null} */
    this.retry = error?.retry_after_ms ?? null;
  }
}

/**
 * @param {string} method @param {string} path
 * @param {any} [body] an object is sent as JSON, a file or text as it is
 * @returns {Promise<any>}
 */
export async function ask(method, path, body) {
  const raw = body instanceof Blob || typeof body === "string";
  /** @type {RequestInit} */
  const request = { method, cache: "no-store" };
  if (body !== undefined) {
    request.body = raw ? body : JSON.stringify(body);
    const type = body instanceof Blob ? body.type || "application/octet-stream" : raw ? "text/plain" : "application/json";
    request.headers = { "Content-Type": type };
  }
  /** @type {Response} */
  let answer;
  try {
    answer = await fetch(ROOT + path, request);
  } catch {
    throw new Refusal(0, null);
  }
  const text = await answer.text();
  let json = null;
  try { json = text ? JSON.parse(text) : null; } catch { /* a proxy's page */ }
  if (!answer.ok) throw new Refusal(answer.status, json?.error);
  return json;
}

/**
 * The address of an image.
 * @param {string} id @param {Record<string, string>} [how]
 */
export const imageAddress = (id, how = {}) => {
  const query = new URLSearchParams(how).toString();
  return `${ROOT}images/${encodeURIComponent(id)}${query && `?${query}`}`;
};
