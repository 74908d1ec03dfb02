// Images of the request, for models that take them: initial image, mask, control image.

import { button, h, iconButton } from "./dom.js";
import { references, row } from "./draft.js";
import { anyField } from "./fields.js";
import { t } from "./texts.js";

/** @typedef {import("../page-types").Reference} Reference */

/** @type {[Reference["role"], "initial_image" | "mask" | "control_image"][]} */
const ROLES = [["initial", "initial_image"], ["mask", "mask"], ["control", "control_image"]];

/**
 * A field for each role that the model takes, and how much of the image is drawn again.
 * @param {import("../page-types").Capabilities | null | undefined} can
 */
export function referenceFields(can) {
  /** @type {{ element: HTMLElement, show: () => void }[]} */
  const fields = [];
  const changed = () => fields.forEach(({ show }) => show());
  fields.push(...ROLES.filter(([, capability]) => can?.[capability]).map(([role, capability]) => roleField(role, capability, changed)));
  const strength = row("strength");
  if (!strength) return fields;
  const { element, show } = anyField({ ...strength, min: 0.05 });
  // The table has no default: the model's depends on the mask.
  fields.push({ element, show: () => {
    Object.assign(strength, { from_model: false, default: references.some(({ role }) => role === "mask") ? 1 : 0.6 });
    show();
  } });
  return fields;
}

/** @param {Reference["role"]} role @param {string} capability @param {() => void} changed */
function roleField(role, capability, changed) {
  const label = t(capability);
  const place = h("div", { class: "reference" });
  const input = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp", class: "hidden", "aria-label": label, onchange: async () => {
    if (input.files?.[0]) await attach(role, input.files[0]);
    changed();
  } });
  const show = () => {
    const given = references.find((reference) => reference.role === role);
    place.replaceChildren(input, given
      ? h("span", { class: "thumb" }, h("img", { src: given.url, alt: given.name }), iconButton("close", t("remove", { name: label }), () => {
        references.splice(references.indexOf(given), 1);
        changed();
      }))
      : button(t("choose_image"), () => input.click()));
  };
  return { element: h("div", { class: "field", "data-param": capability }, h("div", { class: "row" }, h("span", { class: "label" }, label), place), h("p", { class: "error", role: "alert" })), show };
}

/** Takes an image for a role instead of the one before. @param {Reference["role"]} role @param {File} file */
export async function attach(role, file) {
  const url = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result));
    reader.readAsDataURL(file);
  });
  const at = references.findIndex((reference) => reference.role === role);
  references.splice(at < 0 ? references.length : at, at < 0 ? 0 : 1, { role, url, data: url.slice(url.indexOf(",") + 1), name: file.name });
}
