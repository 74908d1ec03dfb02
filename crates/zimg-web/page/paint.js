// Painting a mask over the initial image: what is painted is generated, the rest stays.

import { button, h } from "./dom.js";
import { t } from "./texts.js";

/** @typedef {import("../page-types").Reference} Reference */
/** @typedef {import("../page-types").Stroke} Stroke */

/** The longer side of a mask, unless the shorter one would become so short that the shape is another. */
const LONG = 2048, SHORT = 256;
const COLOUR = "#e0218a";
/** Brushes, in percent of the shorter side. */
const BRUSH = { min: 1, max: 60, first: 10 };

/** @param {string} url @returns {Promise<HTMLImageElement>} */
async function loaded(url) {
  const image = h("img", { src: url, alt: "" });
  await image.decode();
  return image;
}

/** @param {HTMLCanvasElement} canvas */
const penOf = (canvas) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));

/**
 * The white parts of a mask as paint.
 * @param {Reference} mask @param {number} width @param {number} height
 */
async function painted(mask, width, height) {
  const canvas = h("canvas", { width, height }), pen = penOf(canvas);
  pen.drawImage(await loaded(mask.url), 0, 0, width, height);
  const pixels = pen.getImageData(0, 0, width, height), { data } = pixels;
  for (let at = 0; at < data.length; at += 4) {
    const white = (data[at] * 3 + data[at + 1] * 6 + data[at + 2]) * data[at + 3] >= 1275 * 255;
    data[at + 3] = white === Boolean(mask.invert) ? 0 : 255;
  }
  pen.putImageData(pixels, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = COLOUR;
  pen.fillRect(0, 0, width, height);
  return canvas;
}

/** The mask as a file, white on black; none if nothing is painted. @param {HTMLCanvasElement} canvas */
function written(canvas) {
  const { width, height } = canvas;
  const copy = h("canvas", { width, height }), pen = penOf(copy);
  const pixels = penOf(canvas).getImageData(0, 0, width, height), { data } = pixels;
  let any = false;
  for (let at = 0; at < data.length; at += 4) {
    const white = data[at + 3] >= 128;
    any ||= white;
    data[at] = data[at + 1] = data[at + 2] = white ? 255 : 0;
    data[at + 3] = 255;
  }
  if (!any) return null;
  pen.putImageData(pixels, 0, 0);
  return copy.toDataURL("image/png");
}

/**
 * Lets the user paint, until the dialog is closed.
 * @param {Reference} initial @param {Reference | undefined} before what was painted, or a file
 * @param {(mask: Reference | null) => void} take none: nothing is painted
 */
export async function paint(initial, before, take) {
  const picture = await loaded(initial.url);
  const sides = [picture.naturalWidth, picture.naturalHeight];
  const scale = Math.min(1, Math.max(LONG / Math.max(...sides), SHORT / Math.min(...sides)));
  const [width, height] = sides.map((side) => Math.round(side * scale));
  const base = before && !before.strokes ? before : (before?.base ?? null);
  const under = base && await painted(base, width, height).catch(() => null);
  const canvas = h("canvas", { width, height, tabindex: 0, role: "application", "aria-label": t("paint.canvas") });
  const ring = h("div", { class: "ring", hidden: true });
  const pen = penOf(canvas);
  /** @type {Stroke[]} */
  const strokes = [...(before?.strokes ?? [])];
  /** What is being painted. @type {Stroke | undefined} */
  let stroke;
  let erase = false;
  /** Where the keyboard paints. @type {[number, number]} */
  let place = [width / 2, height / 2];

  const brush = h("input", { type: "range", min: BRUSH.min, max: BRUSH.max, value: BRUSH.first, id: "paint-brush", oninput: () => mark(place, true) });
  const sizeNow = () => (Number(brush.value) / 100) * Math.min(width, height);

  /** The end of a stroke, from this point on. @param {Stroke} of @param {number} [from] */
  const draw = ({ erase, size, points }, from = 0) => {
    if (!points.length) return pen.clearRect(0, 0, width, height);
    pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = COLOUR;
    pen.lineWidth = size;
    pen.beginPath();
    pen.moveTo(...points[Math.max(0, from - 1)]);
    // A line without a length would be nothing.
    for (const [x, y] of points.slice(from)) pen.lineTo(x + 0.01, y);
    pen.stroke();
  };
  const redraw = () => {
    pen.clearRect(0, 0, width, height);
    pen.globalCompositeOperation = "source-over";
    if (under) pen.drawImage(under, 0, 0);
    for (const one of strokes) draw(one);
    show();
  };
  const show = () => {
    back.disabled = !strokes.length;
    eraser.setAttribute("aria-pressed", String(erase));
    painter.setAttribute("aria-pressed", String(!erase));
  };
  const add = (/** @type {Stroke} */ one) => {
    strokes.push(one);
    draw(one);
    show();
  };
  /** Shows where the brush is and how large. @param {[number, number]} at @param {boolean} seen */
  const mark = (at, seen) => {
    const { width: shown } = canvas.getBoundingClientRect();
    const side = (sizeNow() / width) * shown;
    ring.hidden = !seen;
    ring.style.width = ring.style.height = `${side}px`;
    ring.style.translate = `${(at[0] / width) * shown - side / 2}px ${(at[1] / width) * shown - side / 2}px`;
  };
  const use = (/** @type {boolean} */ to) => {
    erase = to;
    show();
  };
  const undo = () => {
    strokes.pop();
    redraw();
  };

  const painter = button(t("paint.paint"), () => use(false)), eraser = button(t("paint.erase"), () => use(true));
  const back = button(t("undo"), undo), clear = button(t("paint.clear"), () => add({ erase: true, size: 0, points: [] }));
  const dialog = h("dialog", { class: "paint", "aria-labelledby": "paint-title" });

  /** @param {PointerEvent} event @returns {[number, number]} */
  const pointOf = ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    return [((clientX - box.left) / box.width) * width, ((clientY - box.top) / box.height) * height];
  };
  /** The pointer that paints; others do not. */
  let painting = -1;
  canvas.addEventListener("pointerdown", (event) => {
    if (painting >= 0 || event.button > 0 && event.button !== 5) return;
    painting = event.pointerId;
    canvas.setPointerCapture(painting);
    place = pointOf(event);
    // A pen's other end erases.
    stroke = { erase: erase || event.button === 5, size: sizeNow(), points: [place] };
    add(stroke);
  });
  canvas.addEventListener("pointermove", (event) => {
    mark(pointOf(event), event.pointerType !== "touch");
    if (event.pointerId !== painting || !stroke) return;
    const from = stroke.points.length, all = event.getCoalescedEvents?.() ?? [];
    stroke.points.push(...(all.length ? all : [event]).map(pointOf));
    draw(stroke, from);
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => {
    if (/** @type {PointerEvent} */ (event).pointerId === painting) painting = -1;
  });
  canvas.addEventListener("pointerleave", () => mark(place, false));
  canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && mark(place, true));
  canvas.addEventListener("blur", () => mark(place, false));

  /** @param {number} x @param {number} y @param {boolean} paints */
  const move = (x, y, paints) => {
    const by = sizeNow() / 2, from = place;
    place = [Math.min(width, Math.max(0, place[0] + x * by)), Math.min(height, Math.max(0, place[1] + y * by))];
    if (paints) add({ erase, size: sizeNow(), points: [from, place] });
    mark(place, true);
  };
  dialog.addEventListener("keydown", (event) => {
    const resize = (/** @type {number} */ by) => {
      brush.value = String(Number(brush.value) + by);
      mark(place, true);
    };
    const ctrl = event.ctrlKey || event.metaKey, on = event.target === canvas;
    /** @type {Record<string, () => void>} */
    const keys = ctrl ? { z: undo } : {
      "[": () => resize(-2), "]": () => resize(2), e: () => use(!erase),
      ...(on ? {
        ArrowLeft: () => move(-1, 0, event.shiftKey), ArrowRight: () => move(1, 0, event.shiftKey), ArrowUp: () => move(0, -1, event.shiftKey), ArrowDown: () => move(0, 1, event.shiftKey),
        " ": () => move(0, 0, true), Enter: () => move(0, 0, true),
      } : {}),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  picture.draggable = false;
  const sheet = h("div", { class: "sheet" }, picture, canvas, ring);
  sheet.style.setProperty("--ratio", String(width / height));
  dialog.append(h("h2", { id: "paint-title" }, t("paint")), h("p", { class: "help" }, t("paint.help"), h("span", { class: "keys" }, t("paint.keys"))),
    h("div", { class: "sheet-place" }, sheet),
    h("div", { class: "paint-tools" }, h("div", { class: "group" }, painter, eraser),
      h("label", { class: "brush", for: "paint-brush" }, t("paint.brush"), brush),
      h("div", { class: "group" }, back, clear, button(t("paint.done"), () => dialog.close(), { class: "primary" }))));
  document.body.append(dialog);
  redraw();
  dialog.showModal();
  canvas.focus();
  await new Promise((done) => dialog.addEventListener("close", done));
  dialog.remove();
  const url = strokes.length || under ? written(canvas) : null;
  const same = before && strokes.length === (before.strokes?.length ?? 0) && strokes.every((one, at) => one === before.strokes?.[at]);
  if (!same) take(url ? { role: "mask", url, data: url.slice(url.indexOf(",") + 1), name: t("paint.name"), strokes, base, blur: before?.blur } : null);
}
