// Images of the request, for models that take them: an initial image, its mask, and what is made of both.

import { button, h, iconButton } from "./dom.js";
import { changed, references, row } from "./draft.js";
import { anyField, stepper } from "./fields.js";
import { status } from "./state.js";
import { t } from "./texts.js";

/** @typedef {import("../page-types").Reference} Reference */
/** @typedef {{ element: HTMLElement, show: () => void }} Field */

const SIDES = /** @type {const} */ (["left", "top", "right", "bottom"]);

/** @param {Reference["role"]} role */
const given = (role) => references.find((reference) => reference.role === role);

/** Fields for what the model takes, and how much of the initial image is drawn again. @returns {Field[]} */
export function referenceFields() {
  const can = status?.capabilities;
  const fields = [roleField("initial", "image", "initial")];
  if (can?.mask) fields.push(roleField("mask", "mask", "mask"), paintField(), maskField());
  fields.push(placeField());
  if (can?.control_image) fields.push(roleField("control", "control_image", "control_image"));
  const strength = row("strength");
  if (!strength) return fields;
  const { element, show } = anyField({ ...strength, min: 0.05 });
  // The table has no default: the model's depends on the mask.
  return [...fields, { element, show: () => {
    const masked = given("mask") || given("initial")?.margins;
    Object.assign(strength, { from_model: false, default: masked ? 1 : 0.6 });
    show();
  } }];
}

/** @param {string} label @param {HTMLElement} control @param {string} [help] */
const line = (label, control, help) =>
  h("div", { class: "field" }, h("div", { class: "row" }, h("span", { class: "label" }, label), control), h("div", { class: "notes" }, help && h("p", { class: "help" }, help)));

/** A file, with its image once it is chosen. @param {Reference["role"]} role @param {string} param @param {string} name @returns {Field} */
function roleField(role, param, name) {
  const label = t(name);
  const place = h("div", { class: "reference" });
  const input = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp", class: "hidden", "aria-label": label, onchange: async () => {
    if (input.files?.[0]) await attach(role, input.files[0]);
    input.value = "";
  } });
  /** @type {Reference | null | undefined} */
  let shown = null;
  const show = () => {
    const reference = given(role);
    if (shown === reference) return;
    shown = reference;
    place.replaceChildren(input, reference
      ? h("span", { class: "thumb" }, h("img", { src: reference.url, alt: reference.name }), iconButton("close", t("remove", { name: label }), () => put(role, null)))
      : button(t("choose_image"), () => input.click()));
  };
  return { element: h("div", { class: "field", "data-param": param }, h("div", { class: "row" }, h("span", { class: "label" }, label), place), h("p", { class: "error", role: "alert" })), show };
}

/** @returns {Field} */
function paintField() {
  const open = button("", async () => {
    const initial = given("initial");
    if (initial) await (await import("./paint.js")).paint(initial, given("mask"), (mask) => put("mask", mask));
    open.focus();
  }, { class: "paint-mask" });
  return { element: open, show: () => {
    open.hidden = !given("initial");
    open.textContent = t(given("mask") ? "paint.again" : "paint");
  } };
}

/** What is made of the mask. @returns {Field} */
function maskField() {
  const change = (/** @type {Partial<Reference>} */ to) => {
    Object.assign(given("mask") ?? {}, to);
    changed();
  };
  const invert = h("input", { type: "checkbox", class: "switch", "aria-label": t("mask.invert"), onchange: () => change({ invert: invert.checked || undefined }) });
  const blur = stepper("mask-blur", { min: 0, max: 64, one: 1 }, { label: t("mask.blur"), get: () => given("mask")?.blur ?? 0, take: (to) => change({ blur: to || undefined }) });
  const element = h("div", {}, line(t("mask.invert"), invert), line(t("mask.blur"), blur.control, t("mask.blur.help")));
  return { element, show: () => {
    element.hidden = !given("mask");
    invert.checked = Boolean(given("mask")?.invert);
    blur.show();
  } };
}

/** What happens to an image of another shape, and what is painted beyond its edges. @returns {Field} */
function placeField() {
  const fit = h("select", { "aria-label": t("fit"), onchange: () => {
    Object.assign(given("initial") ?? {}, { fit: fit.value === "crop" ? undefined : fit.value });
    changed();
  } }, ...["crop", "pad", "stretch"].map((how) => h("option", { value: how }, t(`fit.${how}`))));
  const margins = SIDES.map((side, at) => {
    const take = (/** @type {number | undefined} */ to) => {
      const initial = given("initial");
      if (!initial) return;
      const all = initial.margins ?? [0, 0, 0, 0];
      all[at] = Math.max(0, Math.round(to ?? 0));
      initial.margins = all.some(Boolean) ? all : undefined;
      changed();
    };
    return { side, ...stepper(`margin-${side}`, { min: 0, max: 2048, one: 16 }, { label: t(`margin.${side}`), get: () => given("initial")?.margins?.[at] ?? 0, take }) };
  });
  const element = h("div", {}, line(t("fit"), fit, t("fit.help")),
    status?.capabilities?.mask && h("details", { class: "fold" }, h("summary", {}, t("margins")), h("p", { class: "help" }, t("margins.help")), ...margins.map(({ side, control }) => line(t(`margin.${side}`), control))));
  return { element, show: () => {
    element.hidden = !given("initial");
    fit.value = given("initial")?.fit ?? "crop";
    margins.forEach(({ show }) => show());
  } };
}

/** Takes an image for a role instead of the one before, or none. @param {Reference["role"]} role @param {Reference | null} reference */
function put(role, reference) {
  const before = given(role);
  if (before) references.splice(references.indexOf(before), 1);
  if (reference) references.push(reference);
  // What was painted belongs to the image under it.
  const mask = given("mask");
  if (role === "initial" && mask?.strokes) references.splice(references.indexOf(mask), 1);
  changed();
}

/** Reads a file for a role. @param {Reference["role"]} role @param {Blob & { name?: string }} file */
export async function attach(role, file) {
  const url = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result));
    reader.readAsDataURL(file);
  });
  put(role, { role, url, data: url.slice(url.indexOf(",") + 1), name: file.name ?? "" });
}

/** Opens the fields for images, and on a phone the settings around them. */
export function showImages() {
  const box = document.querySelector(".images");
  for (const one of [box, box?.parentElement?.closest("details")]) one?.setAttribute("open", "");
  box?.scrollIntoView({ block: "nearest" });
}
