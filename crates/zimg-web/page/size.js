// The field for the size: aspect ratio, megapixels, and both sides as numbers.

import { h, iconButton } from "./dom.js";
import { put, row, value } from "./draft.js";
import { field, stepper } from "./fields.js";
import { ASPECTS, aspectOf, megapixels, offered } from "./sizes.js";
import { status } from "./state.js";
import { number, t } from "./texts.js";

/** @returns {import("../page-types").Sides} */
function sides() {
  const can = status?.capabilities, width = row("width");
  return { min: can?.side_min ?? Number(width?.min ?? 64), max: can?.side_max ?? Number(width?.max ?? 2048), multiple: can?.side_multiple ?? width?.multiple ?? 16 };
}

/** @param {[number, number]} size */
const isNow = ([width, height]) => width === Number(value("width")) && height === Number(value("height"));

/** @param {[number, number]} size */
function use([width, height]) {
  const model = status?.model;
  const own = model?.width === width && model.height === height;
  put("width", own ? undefined : width);
  put("height", own ? undefined : height);
}

/** Sizes near the one in force, by area. @param {[number, number][]} sizes */
const nearest = (sizes) => {
  const area = Number(value("width")) * Number(value("height"));
  return sizes.toSorted(([a, b], [c, d]) => Math.abs(Math.log((a * b) / area)) - Math.abs(Math.log((c * d) / area)))[0];
};

/** A choice of one in a row. @param {string} name @param {string} label @param {Node} face @param {() => void} onchange */
const chip = (name, label, face, onchange) =>
  h("label", { class: "chip", title: label }, h("input", { type: "radio", name, "aria-label": label, onchange }), face);

export function sizeField() {
  const limits = sides();
  const range = { min: limits.min, max: limits.max, step: limits.multiple };
  const width = stepper("width", range), height = stepper("height", range);
  const aspects = ASPECTS.filter((aspect) => offered(aspect, limits).length).map((aspect) => {
    const [a, b] = aspect;
    const shape = h("span", { class: "shape" });
    const longest = Math.max(a, b);
    shape.style.width = `${(a / longest) * 1.15}em`;
    shape.style.height = `${(b / longest) * 1.15}em`;
    const face = h("span", { class: "face" }, shape, `${a}:${b}`);
    return { aspect, chip: chip("aspect", `${a}:${b}`, face, () => use(nearest(offered(aspect, limits)))) };
  });
  const areas = h("div", { class: "chips", role: "radiogroup", "aria-label": t("megapixels") });
  let drawn = "";
  const showAreas = (/** @type {[number, number]} */ aspect) => {
    const sizes = offered(aspect, limits);
    if (drawn !== String(aspect)) {
      drawn = String(aspect);
      areas.replaceChildren(...sizes.map((size) => {
        const area = megapixels(...size);
        const label = t("size.chip", { width: size[0], height: size[1], area: number(area) });
        return chip("area", label, h("span", { class: "face" }, number(area, { maximumSignificantDigits: area < 1 ? 1 : 2 })), () => use(size));
      }), h("span", { class: "unit", "aria-hidden": "true" }, "MP"));
    }
    areas.querySelectorAll("input").forEach((input, at) => (input.checked = isNow(sizes[at])));
  };
  const swap = iconButton("swap", t("swap"), () => use([Number(value("height")), Number(value("width"))]));
  const element = field("size", h("div", { class: "size" }, h("div", { class: "chips", role: "radiogroup", "aria-label": t("aspect") }, ...aspects.map(({ chip }) => chip)),
    areas, h("div", { class: "sides" }, h("label", { class: "hidden", for: "param-width" }, t("param.width")), width.control, swap,
      h("label", { class: "hidden", for: "param-height" }, t("param.height")), height.control)), { wide: true, group: true });
  const show = () => {
    width.show();
    height.show();
    const now = aspectOf(Number(value("width")), Number(value("height")));
    for (const { aspect, chip } of aspects) /** @type {HTMLInputElement} */ (chip.firstChild).checked = aspect === now;
    showAreas(now ?? [Number(value("width")), Number(value("height"))]);
  };
  return { element, show };
}
