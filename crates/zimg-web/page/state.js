// What the page knows: the daemon's state, the parameters, the jobs. Elements listen to it.

import { ask, Refusal } from "./api.js";

/** @typedef {import("../page-types").Job} Job */

/** @type {import("../page-types").Status | null} */
export let status = null;
/** @type {import("../page-types").Parameter[]} */
export let parameters = [];
/** Newest first. @type {Job[]} */
export let jobs = [];
/** From where older jobs can be asked for. @type {string | null} */
export let older = null;
/** Whether the stream of events is open; at first that is not known. @type {boolean | null} */
export let connected = null;
/** Whether the first list of jobs is there. */
export let listed = false;

const target = new EventTarget();

/**
 * Calls back when something of this kind changed: `status`, `jobs`, `job` (one job's progress), `ended`.
 * Stops when the element has left the page.
 * @param {HTMLElement} element @param {string[]} kinds @param {(job?: Job) => void} call
 */
export function listen(element, kinds, call) {
  for (const kind of kinds) {
    const heard = (/** @type {Event} */ event) => {
      if (element.isConnected) call(/** @type {CustomEvent} */ (event).detail);
      else target.removeEventListener(kind, heard);
    };
    target.addEventListener(kind, heard);
  }
}

/** @param {string} kind @param {Job} [job] */
export const tell = (kind, job) => target.dispatchEvent(new CustomEvent(kind, { detail: job }));

/** @param {Job} job */
export const unfinished = (job) => job.state === "waiting" || job.state === "running" || job.state === "blocked";
/** @param {string} id */
export const jobOf = (id) => jobs.find((job) => job.id === id);

/** Reads everything and follows it. @param {() => Promise<any>} signIn */
export async function begin(signIn) {
  await enter(signIn);
  const [now, table] = await Promise.all([ask("GET", "status"), ask("GET", "parameters")]);
  parameters = table.parameters;
  know(now);
  await list();
  events = await import("./events.js");
  events.follow((open) => {
    // A front that was restarted may be a newer one, and this page's key may have ended.
    if (open && connected === false) list().catch(() => undefined);
    connected = open;
    tell("status");
  }, () => enter(signIn));
}

/** Takes the daemon's state. @param {import("../page-types").Status} now */
export function know(now) {
  status = now;
  tell("status");
}

/** Lets the user sign in if that is needed. @param {() => Promise<any>} signIn */
const enter = (signIn) => ask("GET", "session").then(({ signed_in }) => signed_in || signIn(), () => undefined);

/** What happens after the first sight; none before. @type {typeof import("./events.js") | undefined} */
let events;

/**
 * Takes an answer with jobs, and the events that came since it was asked for: it may be older.
 * @template T
 * @param {Promise<T>} question @param {(answer: T, since: import("./events.js").Event[]) => void} take
 */
async function answer(question, take) {
  const since = events?.hold() ?? [];
  try {
    const found = await question;
    take(found, since);
    return found;
  } finally {
    events?.release(since);
  }
}

/**
 * A job as an answer has it, brought up to now; none if it has gone. Elements hold the objects, so
 * a known job stays the same one.
 * @param {Job} found @param {import("./events.js").Event[]} since
 */
function current(found, since) {
  const known = jobOf(found.id);
  const told = known && !unfinished(known), under = unfinished(found);
  // Images go with their job alone: the daemon tells of one before its list has it.
  const images = [...(known?.images ?? []), ...found.images.filter(({ id }) => !known?.images.some((image) => image.id === id))];
  const job = Object.assign(known ?? {}, found, { images, eta_at: Date.now() });
  for (const [name, data] of since) if (data.job === job.id) events?.apply(job, name, data);
  if (gone.has(job.id)) return [];
  // It ended while it was asked for: the stored job has the end of its retention.
  if (under && !unfinished(job)) setTimeout(() => (told ? look(job.id) : ended(job)));
  return [job];
}

/** Asks for the newest jobs; what is known of running ones stays. */
export function list() {
  const before = jobs;
  return answer(ask("GET", "jobs?limit=60"), (found, since) => {
    const fresh = found.jobs.flatMap((/** @type {Job} */ job) => current(job, since));
    const last = found.jobs.at(-1)?.id;
    // Older ones that were already shown stay, and those that have come meanwhile.
    const shown = found.next && jobOf(last) ? jobs.slice(jobs.findIndex(({ id }) => id === last) + 1) : [];
    const come = jobs.filter((job) => ![...before, ...fresh, ...shown].includes(job));
    jobs = [...come, ...fresh, ...shown];
    if (!shown.length) older = found.next;
    listed = true;
    tell("jobs");
  });
}

/** Asks for older jobs. */
export async function more() {
  if (!older) return;
  await answer(ask("GET", `jobs?limit=60&before=${encodeURIComponent(older)}`), (found, since) => {
    jobs = [...jobs, ...found.jobs.filter((/** @type {Job} */ job) => !jobOf(job.id)).flatMap((/** @type {Job} */ job) => current(job, since))];
    older = found.next;
    tell("jobs");
  });
}

/** @param {Job} found @param {import("./events.js").Event[]} since */
function add(found, since) {
  const known = jobOf(found.id);
  const [job] = current(found, since);
  if (job && !known) jobs = [job, ...jobs];
  tell("jobs");
}

/** Jobs that were removed: their late events need no question. @type {Set<string>} */
const gone = new Set();
/** Jobs that are being asked for. @type {Set<string>} */
const asked = new Set();

/** Asks for all that is known of a job. @param {string} id */
export const refresh = (id) => answer(ask("GET", `jobs/${encodeURIComponent(id)}`), add);

/** A job whose beginning this page did not see, from another tab or the shell. @param {string} id */
export async function look(id) {
  if (asked.has(id) || gone.has(id)) return;
  asked.add(id);
  try {
    await refresh(id);
  } catch (refusal) {
    // It is gone already.
    if (/** @type {Refusal} */ (refusal).status === 404) gone.add(id);
  } finally {
    asked.delete(id);
  }
}

/** Says the end of a job, and asks for the end of its retention. @param {Job} job */
export function ended(job) {
  tell("ended", job);
  void look(job.id);
}

/** @param {string} id */
export function drop(id) {
  gone.add(id);
  jobs = jobs.filter((job) => job.id !== id);
  tell("jobs");
}

/**
 * Submits a job.
 * @param {import("../page-types").Values} params @param {"interactive" | "batch"} priority
 * @param {import("../page-types").Reference[]} images
 */
export async function submit(params, priority, images) {
  const sent = images.map(({ url: _, strokes: __, base: ___, ...image }) => image);
  if (!images.length) delete params.strength;
  const { id } = await answer(ask("POST", "jobs", { params, priority, ...(images.length ? { images: sent } : {}) }), add);
  Object.assign(jobOf(id) ?? {}, { references: images.length ? [...images] : undefined });
}

/** Cancels an unfinished job, deletes an ended one. @param {Job} job */
export async function remove(job) {
  job.cancelling = true;
  tell("job", job);
  try {
    await ask("DELETE", `jobs/${encodeURIComponent(job.id)}`);
  } catch (refusal) {
    // What another tab deleted is gone as well.
    if (/** @type {Refusal} */ (refusal).status !== 404) {
      job.cancelling = false;
      tell("job", job);
      throw refusal;
    }
  }
  drop(job.id);
}
