// The request that is being written: only what differs from the defaults, kept over a reload.

import { store, stored } from "./dom.js";
import { parameters, status } from "./state.js";

/** @typedef {import("../page-types").Values} Values */
/** @typedef {import("../page-types").Reference} Reference */

/** @typedef {{ values: Values, lock: boolean, priority: "interactive" | "batch" }} Draft */

/** @type {Draft} */
export let draft = { values: {}, lock: false, priority: "interactive" };
/** What was there before it was replaced as a whole, for "undo". @type {{ draft: Draft, images: Reference[] } | null} */
let before = null;
/** Images of the request, for models that take them. @type {Reference[]} */
export const references = [];

const target = new EventTarget();
/** Calls back after each change, until the element has left the page. @param {HTMLElement} element @param {() => void} call */
export function ondraft(element, call) {
  const heard = () => (element.isConnected ? call() : target.removeEventListener("change", heard));
  target.addEventListener("change", heard);
}

/** Stores the draft and tells of it. */
export function changed() {
  store("sessionStorage", "draft", JSON.stringify(draft));
  target.dispatchEvent(new Event("change"));
}

/** Goes on with what was typed before a reload. */
export function restore() {
  try {
    draft = { ...draft, ...JSON.parse(stored(sessionStorage, "draft") ?? "{}") };
  } catch { /* storage is off */ }
}

/** @param {string} name */
export const row = (name) => parameters.find((parameter) => parameter.name === name);

/** The value without one of the user's: the table's or the model's. @param {string} name */
export function standard(name) {
  const parameter = row(name);
  if (parameter && parameter.default !== null && !parameter.from_model) return parameter.default;
  const model = /** @type {Record<string, any> | null} */ (status?.model ?? null);
  return model?.[name] ?? "";
}

/** The value in force. @param {string} name @returns {any} */
export const value = (name) => draft.values[name] ?? standard(name);

/** @param {string} name @param {import("../page-types").Value | undefined} to undefined: the default */
export function put(name, to) {
  if (to === undefined || (to === "" && name !== "prompt")) delete draft.values[name];
  else draft.values[name] = to;
  if (name === "seed") draft.lock = draft.values.seed !== undefined;
  changed();
}

/** @param {"interactive" | "batch"} priority */
export function hurry(priority) {
  draft.priority = priority;
  changed();
}

/**
 * Replaces several values; the others stay or, when all are new, get their defaults.
 * @param {Values} values @param {boolean} [whole] @param {Reference[]} [images] others than before
 */
export function take(values, whole = false, images) {
  before = { draft: structuredClone(draft), images: [...references] };
  if (images) references.splice(0, references.length, ...images);
  const { count } = draft.values;
  draft.values = whole ? { ...(count ? { count } : {}) } : { ...draft.values };
  for (const [name, value] of Object.entries(values)) {
    // A seed stays a text: its 64 bits do not fit into a number.
    const is = name === "seed" ? String(value) : value;
    delete draft.values[name];
    if (row(name) && value !== null && (name === "seed" || name === "prompt" || is !== standard(name))) draft.values[name] = is;
  }
  draft.lock = draft.values.seed !== undefined;
  changed();
}

/** Takes the last whole replacement back. */
export function undo() {
  if (before) {
    draft = before.draft;
    references.splice(0, references.length, ...before.images);
  }
  before = null;
  changed();
}

/** The parameters to send: those of the user that this model takes. @returns {Values} */
export function params() {
  const takes = status?.capabilities?.parameters;
  return Object.fromEntries(Object.entries({ prompt: "", ...draft.values }).filter(([name]) => !takes || takes.includes(name)));
}

/** A new random seed below 2^32, as the daemon's clients choose it. */
export const dice = () => String(crypto.getRandomValues(new Uint32Array(1))[0]);

/** What is unusual for this model, as keys and values of the texts, by parameter. @returns {[string, string, Record<string, any>][]} */
export function advice() {
  const { model, capabilities } = status ?? {};
  /** @type {[string, string, Record<string, any>][]} */
  const said = [];
  if (!model) return said;
  const guidance = Number(value("guidance")), steps = Number(value("steps"));
  const width = Number(value("width")), height = Number(value("height"));
  if (draft.values.negative && capabilities && !capabilities.negative_prompt && model.guidance > 0) said.push(["negative", "advice.no_negative", {}]);
  else if (draft.values.negative && guidance <= 0) said.push(["negative", "advice.negative", {}]);
  if (guidance > 0 && model.guidance <= 0) said.push(["guidance", "advice.guidance", { model: model.name }]);
  if (steps > model.steps * 2) said.push(["steps", "advice.many_steps", { model: model.name, steps: model.steps }]);
  if (steps * 2 < model.steps) said.push(["steps", "advice.few_steps", { model: model.name, steps: model.steps }]);
  const own = model.width * model.height, pixels = width * height;
  if (pixels > 4 * own || pixels * 8 < own) said.push(["width", "advice.size", { model: model.name, width: model.width, height: model.height }]);
  return said;
}
