// Images of jobs: their settings, and what can be done with them.

import { imageAddress } from "./api.js";
import { h } from "./dom.js";
import { draft, params as drafted, put, take } from "./draft.js";
import { theForm } from "./form.js";
import { jobs, refresh, submit, unfinished } from "./state.js";
import { t } from "./texts.js";

/** @typedef {import("../page-types").Job} Job */
/** @typedef {import("../page-types").Picture} Picture */
/** @typedef {{ job: Job, image: Picture }} Shown */

/** All images of the page, newest job first. @returns {Shown[]} */
export const allImages = () => jobs.flatMap((job) => job.images.map((image) => ({ job, image })));

/** Images of ended jobs. */
export const finished = () => allImages().filter(({ job }) => !unfinished(job));

/** Sides of a job's images. @param {Job} job @returns {[number, number]} */
export const sidesOf = ({ images, started, params }) => [
  Number(images[0]?.width ?? started?.width ?? params.width ?? 1), Number(images[0]?.height ?? started?.height ?? params.height ?? 1)];

/**
 * The settings that generate this image again.
 * @param {Shown} shown @returns {import("../page-types").Values}
 */
export function settingsOf({ job, image }) {
  const { count: _, image_inputs: __, ...asked } = job.params;
  const { model: ___, ...used } = job.started ?? { model: "" };
  return { ...asked, ...used, width: image.width, height: image.height, seed: image.seed };
}

/** Completes a job of the list, which has only a long prompt's beginning, and not always what the model chose. @param {Job} job */
export async function whole(job) {
  if (job.prompt_cut || !job.started) await refresh(job.id);
}

/** Puts an image's settings, or some of them, into the form. @param {Shown} shown @param {"all" | "prompt" | "seed"} which */
export async function again(shown, which) {
  await whole(shown.job);
  const all = settingsOf(shown);
  if (which === "seed") put("seed", all.seed);
  else if (which === "prompt") take({ prompt: all.prompt, negative: all.negative ?? "" });
  else take(all, true, shown.job.references ?? []);
  theForm().notify(t(which === "all" && isIncomplete(shown.job) ? "taken.no_image" : `taken.${which}`), which !== "seed");
  document.getElementById("param-prompt")?.focus();
}

/** Generates the image's settings at once with a new seed. @param {Shown} shown */
export async function vary(shown) {
  await whole(shown.job);
  if (isIncomplete(shown.job)) return again(shown, "all");
  const { seed: _, ...values } = settingsOf(shown);
  await submit({ ...values, count: drafted().count ?? 1 }, draft.priority, shown.job.references ?? []);
}

/** Whether a job started from an image that this page has not. @param {Job} job */
const isIncomplete = (job) => Boolean(job.params.image_inputs && !job.references);

/** @param {Shown} shown @param {string} format @param {boolean} bare without settings inside */
export const download = ({ image }, format, bare = false) =>
  h("a", { class: "button", href: imageAddress(image.id, { format, download: "1", ...(bare ? { metadata: "0" } : {}) }), download: "" }, format.toUpperCase());

/** A picture in a button that opens the viewer. @param {Shown} shown @param {boolean} small */
export function tile(shown, small) {
  const { job, image } = shown;
  const img = h("img", { src: imageAddress(image.id, small ? { size: "thumb" } : {}), alt: job.params.prompt, loading: small ? "lazy" : "eager", decoding: "async", width: image.width, height: image.height });
  const element = h("button", { type: "button", class: "tile", "data-image": image.id, onclick: () => document.dispatchEvent(new CustomEvent("view", { detail: image.id })) }, img);
  if (image.preview) element.style.backgroundImage = `url(${image.preview})`;
  element.style.setProperty("--ratio", String(image.width / image.height));
  return element;
}

/** The button of an image. @param {string} id @returns {HTMLElement | null} */
export const tileOf = (id) => document.querySelector(`[data-image="${CSS.escape(id)}"]`);
