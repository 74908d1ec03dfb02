// What happens to jobs, from the one stream of events. An answer that was asked for before an event
// and comes after it is older: those events are held and applied to it.

import { ROOT } from "./api.js";
import { drop, ended, jobOf, know, list, look, tell, unfinished } from "./state.js";

/** @typedef {import("../page-types").Job} Job */
/** @typedef {[string, any]} Event a name with its data */

const EVENTS = "accepted waiting started step preview decoding image resumed done failed removed status reset".split(" ");

/** Events since each question that is under way. @type {Set<Event[]>} */
const held = new Set();

/** Holds the events from now on. */
export function hold() {
  /** @type {Event[]} */
  const since = [];
  held.add(since);
  return since;
}

/** @param {Event[]} since */
export const release = (since) => void held.delete(since);

/**
 * Follows all jobs of this user and the daemon's state, until the page is left. The browser
 * resumes a broken stream by itself with `Last-Event-ID`; where it gives up, this starts again.
 * @param {(open: boolean) => void} onopen @param {() => Promise<any>} enter what is to be done first where a session has ended
 */
export function follow(onopen, enter) {
  let delay = 500;
  const start = () => {
    const stream = new EventSource(ROOT + "events");
    stream.onopen = () => {
      delay = 500;
      onopen(true);
    };
    stream.onerror = () => {
      onopen(false);
      if (stream.readyState !== EventSource.CLOSED) return;
      setTimeout(() => enter().then(start), delay);
      delay = Math.min(delay * 2, 8000);
    };
    for (const name of EVENTS) stream.addEventListener(name, (event) => receive(name, JSON.parse(event.data)));
  };
  start();
}

/** @param {string} name @param {any} data */
function receive(name, data) {
  if (name === "status") return know(data);
  if (name === "reset") return void list().catch(() => undefined);
  for (const since of held) since.push([name, data]);
  // The daemon stores no cancelled jobs.
  if (name === "removed" || data.kind === "cancelled") return drop(data.job);
  const job = jobOf(data.job);
  if (!job) return void look(data.job);
  const under = unfinished(job);
  apply(job, name, data);
  tell(name === "image" || !unfinished(job) ? "jobs" : "job", job);
  if (under && !unfinished(job)) ended(job);
}

/** Changes a job by an event. @param {Job} job @param {string} name @param {any} data */
export function apply(job, name, { job: _, ...fields }) {
  if (name === "image") {
    // The preview stays behind the image until that is loaded.
    job.images = [...job.images.filter(({ image }) => image !== fields.image), { ...fields, preview: job.preview }].sort((a, b) => a.image - b.image);
    job.preview = undefined;
  }
  // What else comes after the end was known is older than that.
  if (!unfinished(job)) return;
  switch (name) {
    case "accepted":
      job.position = fields.position;
      break;
    case "waiting":
      job.state = fields.state === "disk" ? "blocked" : "waiting";
      job.position = fields.position ?? null;
      job.waiting = fields;
      break;
    case "started":
      Object.assign(job, { state: "running", started: fields, of: fields.steps, image: job.image ?? 1, step: job.step ?? 0, waiting: undefined });
      break;
    case "resumed":
      Object.assign(job, { state: "running", ...fields, waiting: undefined });
      break;
    case "step":
      Object.assign(job, { state: "running", ...fields, decoding: false, waiting: undefined, eta_at: Date.now() });
      break;
    case "preview":
      job.preview = `data:image/webp;base64,${fields.webp}`;
      break;
    case "decoding":
      job.decoding = true;
      break;
    case "done":
    case "failed":
      Object.assign(job, { state: name, failure: name === "failed" ? fields : null, preview: undefined });
  }
}
