// States of the daemon and of jobs as sentences.

import { status, unfinished } from "./state.js";
import { bytes, known, span, t } from "./texts.js";

/**
 * What the daemon or a worker is doing.
 * @param {import("../page-types").Waiting} now
 */
export function daemonWords(now) {
  const key = `daemon.${now.state}`;
  if (!known(key)) return now.message ?? now.state;
  const reason = now.message ?? now.reason ?? "";
  return t(key, { done: bytes(now.done ?? 0), total: bytes(now.total ?? 0), time: span(now.in_ms ?? 0), reason });
}

/** The share that is done, from 0 to 1; none while that is not known. @param {import("../page-types").Job} job */
export function share(job) {
  if (job.state === "running" && job.of) return ((job.image ?? 1) - 1 + (job.step ?? 0) / job.of) / job.count;
  const { done, total } = job.waiting ?? {};
  return total ? (done ?? 0) / total : undefined;
}

/** The time left as of now, if it is known; of a waiting job its part of a new job's wait. @param {import("../page-types").Job} job */
const left = (job) => {
  const { wait_ms: wait, unfinished: all } = status ?? {};
  const estimate = job.state === "waiting" && wait && all ? (wait * (job.position ?? 0)) / all : undefined;
  const ms = (job.eta_ms ?? estimate ?? 0) - (estimate ? 0 : Date.now() - (job.eta_at ?? Date.now()));
  return ms > 500 ? t(job.state === "waiting" ? "job.starts" : "job.left", { time: span(ms) }) : "";
};

/** What a job is doing. @param {import("../page-types").Job} job */
export function jobWords(job) {
  if (job.cancelling) return t(unfinished(job) ? "job.cancelling" : "job.deleting");
  if (job.state === "failed") return [job.failure?.message, job.failure?.hint].filter(Boolean).join(" — ");
  if (job.state === "done") return t("job.done");
  if (job.state === "blocked") return t("job.blocked", { reason: job.waiting?.message ?? job.failure?.message ?? "" });
  const parts = [];
  if (job.state === "running") {
    if (job.count > 1) parts.push(t("job.image", { image: job.image ?? 1, count: job.count }));
    parts.push(job.decoding ? t("job.decoding") : job.step ? t("job.step", { step: job.step, of: job.of ?? 0 }) : t("job.prompt"));
  } else {
    const why = job.waiting?.state ?? "queued";
    if (why !== "queued" && why !== "preempted") parts.push(daemonWords(job.waiting ?? { state: why }));
    else if (why === "preempted") parts.push(t("job.preempted"));
    else if (job.position) parts.push(t("job.place", { place: job.position + 1 }));
    else parts.push(t("job.next"));
  }
  return [...parts, left(job)].filter(Boolean).join(" · ");
}
