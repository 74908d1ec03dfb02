// The form's fields for parameters of any name: labels, controls, advice and errors in place.

import { h, icon, iconButton } from "./dom.js";
import { draft, put, standard, value } from "./draft.js";
import { known, t } from "./texts.js";

/** @typedef {import("../page-types").Parameter} Parameter */

/** The parameter's name for people; an unknown one has the daemon's. @param {string} name */
export const labelOf = (name) => {
  if (known(`param.${name}`)) return t(`param.${name}`);
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
};

/** @param {Parameter} parameter */
const helpOf = ({ name, help }) => (known(`help.${name}`) ? t(`help.${name}`) : known(`param.${name}`) ? "" : help);

/** The place for help, advice and errors of a parameter. @param {string} name @param {string} [help] */
export const notes = (name, help) =>
  h("div", { id: `notes-${name}`, class: "notes" }, help && h("p", { class: "help" }, help), h("p", { class: "advice" }), h("p", { class: "error", role: "alert" }));

/**
 * A field: label, control, help, and a place for advice and errors of this parameter.
 * @param {string} name @param {HTMLElement} control @param {{ help?: string, side?: Node, wide?: boolean, group?: boolean }} [more]
 */
export function field(name, control, { help, side, wide, group } = {}) {
  const input = control.matches("input, textarea") ? control : control.querySelector("input");
  input?.setAttribute("aria-describedby", `notes-${name}`);
  const label = group ? h("span", { class: "label", id: `label-${name}` }, labelOf(name)) : h("label", { class: "label", for: `param-${name}` }, labelOf(name));
  return h("div", { class: wide ? "field wide" : "field", "data-param": name }, h("div", { class: "row" }, label, side, !wide && control), wide && control, notes(name, help));
}

/**
 * A number between two buttons: a parameter of the draft, or any other with its own label.
 * @param {string} name @param {{ min?: any, max?: any, step?: any, one?: number }} range `step`: of valid values; `one`: of the buttons
 * @param {{ label: string, get: () => number, take: (to: number | undefined) => void }} [of]
 */
export function stepper(name, { min, max, step, one }, of) {
  const amount = one ?? Number(step) ?? 1;
  const label = of?.label ?? labelOf(name);
  const get = of?.get ?? (() => Number(value(name)));
  const take = of?.take ?? ((to) => put(name, to === Number(standard(name)) ? undefined : to));
  const input = h("input", { type: "number", id: `param-${name}`, min, max, step: step ?? "any", inputmode: "decimal", "aria-label": of && label });
  const show = () => {
    if (document.activeElement !== input || Number(input.value) !== get()) input.value = String(get());
  };
  const to = (/** @type {number} */ number) => take(Number(Math.min(Number(max ?? number), Math.max(Number(min ?? number), number)).toFixed(4)));
  input.oninput = () => {
    if (input.value === "") take(undefined);
    else if (Number.isFinite(input.valueAsNumber)) take(input.valueAsNumber);
  };
  input.onblur = show;
  const by = (/** @type {string} */ sign, /** @type {string} */ key, /** @type {number} */ change) =>
    h("button", { type: "button", class: "icon", "aria-label": t(key, { name: label }), onclick: () => to(get() + change) }, icon(sign));
  const control = h("div", { class: "stepper" }, by("less", "less", -amount), input, by("more", "more_of", amount));
  return { control, show };
}

/**
 * The field of any parameter that has no special one.
 * @param {Parameter} parameter @returns {{ element: HTMLElement, show: () => void }}
 */
export function anyField(parameter) {
  const { name, type } = parameter;
  const help = helpOf(parameter);
  if (type === "flag") {
    const input = h("input", { type: "checkbox", class: "switch", id: `param-${name}`, onchange: () => put(name, input.checked === Boolean(standard(name)) ? undefined : input.checked) });
    return { element: field(name, input, { help }), show: () => void (input.checked = Boolean(value(name))) };
  }
  if (type === "text") {
    const input = h("textarea", { id: `param-${name}`, rows: 2, oninput: () => put(name, input.value || undefined) });
    return { element: field(name, input, { help, wide: true }), show: () => { if (input.value !== value(name)) input.value = String(value(name)); } };
  }
  const small = Number(parameter.max) <= 1;
  const step = type === "integer" ? (parameter.multiple ?? 1) : null;
  const { control, show } = stepper(name, { min: parameter.min, max: parameter.max, step, one: step ?? (small ? 0.05 : 0.5) });
  const back = iconButton("reset", t("reset", { name: labelOf(name) }), () => put(name, undefined));
  return {
    element: field(name, control, { help, side: back }),
    show: () => {
      show();
      back.hidden = draft.values[name] === undefined;
    },
  };
}
