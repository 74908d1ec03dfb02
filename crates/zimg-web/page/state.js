// What the page knows: the daemon's state, the parameters, the jobs. Elements listen to it.

import { ask, follow, Refusal } from "./api.js";

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
const tell = (kind, job) => target.dispatchEvent(new CustomEvent(kind, { detail: job }));

/** @param {Job} job */
export const unfinished = (job) => job.state === "waiting" || job.state === "running" || job.state === "blocked";
/** @param {string} id */
export const jobOf = (id) => jobs.find((job) => job.id === id);

/** Reads everything and follows it. @param {() => Promise<any>} signIn */
export async function begin(signIn) {
  await enter(signIn);
  const [now, table] = await Promise.all([ask("GET", "status"), ask("GET", "parameters")]);
  status = now;
  parameters = table.parameters;
  tell("status");
  await list();
  follow(receive, (open) => {
    // A front that was restarted may be a newer one, and this page's key may have ended.
    if (open && connected === false) list().catch(() => undefined);
    connected = open;
    tell("status");
  }, () => enter(signIn));
}

/** Lets the user sign in if that is needed. @param {() => Promise<any>} signIn */
const enter = (signIn) => ask("GET", "session").then(({ signed_in }) => signed_in || signIn(), () => undefined);

/** Asks for the newest jobs; what is known of running ones stays. */
async function list() {
  const answer = await ask("GET", "jobs?limit=60");
  // Elements hold the objects, so known jobs stay the same ones.
  const fresh = answer.jobs.map((/** @type {Job} */ job) => Object.assign(jobOf(job.id) ?? {}, job, { eta_at: Date.now() }));
  const last = fresh.at(-1);
  // Older ones that were already shown stay.
  const shown = answer.next && last ? jobs.slice(jobs.findIndex((job) => job.id === last.id) + 1) : [];
  jobs = [...fresh, ...(jobOf(last?.id) ? shown : [])];
  if (!shown.length) older = answer.next;
  listed = true;
  tell("jobs");
}

/** Asks for older jobs. */
export async function more() {
  if (!older) return;
  const answer = await ask("GET", `jobs?limit=60&before=${encodeURIComponent(older)}`);
  jobs = [...jobs, ...answer.jobs.filter((/** @type {Job} */ job) => !jobOf(job.id))];
  older = answer.next;
  tell("jobs");
}

/** @param {Job} job */
function add(job) {
  const known = jobOf(job.id);
  if (known) Object.assign(known, job);
  else jobs = [job, ...jobs];
  tell("jobs");
}

/** Jobs that were removed, and those that are being asked for: their late events need no question. @type {Set<string>} */
const asked = new Set();

/** A job whose beginning this page did not see, from another tab or the shell. @param {string} id */
async function look(id) {
  if (asked.has(id)) return;
  asked.add(id);
  try {
    add(await ask("GET", `jobs/${encodeURIComponent(id)}`));
    asked.delete(id);
  } catch { /* it is gone already */ }
}

/** @param {string} name @param {any} data */
function receive(name, data) {
  if (name === "status") {
    status = data;
    return tell("status");
  }
  if (name === "reset") return void list().catch(() => undefined);
  const job = jobOf(data.job);
  if (name === "removed") return void (job && drop(job));
  if (!job) return void (data.kind !== "cancelled" && look(data.job));
  const { job: _, ...fields } = data;
  switch (name) {
    case "accepted":
      job.position = data.position;
      break;
    case "waiting":
      job.state = data.state === "disk" ? "blocked" : "waiting";
      job.position = data.position ?? null;
      job.waiting = fields;
      break;
    case "started":
      Object.assign(job, { state: "running", started: fields, of: data.steps, image: job.image ?? 1, step: job.step ?? 0, waiting: undefined });
      break;
    case "resumed":
      Object.assign(job, { state: "running", ...fields, waiting: undefined });
      break;
    case "step":
      Object.assign(job, { state: "running", ...fields, decoding: false, waiting: undefined, eta_at: Date.now() });
      break;
    case "preview":
      job.preview = `data:image/webp;base64,${data.webp}`;
      break;
    case "decoding":
      job.decoding = true;
      break;
    case "image":
      // The preview stays behind the image until that is loaded.
      job.images = [...job.images.filter((image) => image.image !== data.image), { ...fields, preview: job.preview }].sort((a, b) => a.image - b.image);
      job.preview = undefined;
      return tell("jobs");
    case "done":
    case "failed":
      // The daemon stores no cancelled jobs.
      if (data.kind === "cancelled") return drop(job);
      job.state = name;
      job.failure = name === "failed" ? fields : null;
      job.preview = undefined;
      tell("jobs");
      // The stored job has the end of its retention.
      void look(job.id);
      return tell("ended", job);
  }
  tell("job", job);
}

/** @param {Job} job */
function drop(job) {
  asked.add(job.id);
  jobs = jobs.filter((other) => other !== job);
  tell("jobs");
}

/**
 * Submits a job.
 * @param {import("../page-types").Values} params @param {"interactive" | "batch"} priority
 * @param {import("../page-types").Reference[]} images
 */
export async function submit(params, priority, images) {
  const references = images.map(({ role, data, name }) => ({ role, data, name }));
  if (!images.length) delete params.strength;
  const job = await ask("POST", "jobs", { params, priority, ...(references.length ? { images: references } : {}) });
  add(job);
  return job;
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
  drop(job);
}
