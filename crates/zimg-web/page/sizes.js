// Width and height from an aspect ratio and an area, as users of this model know them.

/** The aspect ratios, each with the sides' smallest exact multiples of 16. @type {[number, number][]} */
export const ASPECTS = [[1, 1], [4, 3], [3, 4], [3, 2], [2, 3], [16, 9], [9, 16], [21, 9]];
/** The sides of a square with the offered areas. */
const SQUARES = [256, 512, 768, 1024, 1280, 1536, 2048];

/**
 * The largest exact size within the area of a square: 4:3 at 1024 is 1152x864, 16:9 at 768 is
 * 1024x576. Where exact sizes are too coarse, the nearest multiples.
 * @param {[number, number]} aspect @param {number} square @param {import("../page-types").Sides} sides
 * @returns {[number, number]}
 */
export function sized([a, b], square, { multiple }) {
  const whole = Math.floor(square / Math.sqrt(a * b) / multiple);
  const exact = /** @type {[number, number]} */ ([a * whole * multiple, b * whole * multiple]);
  if (exact[0] * exact[1] >= 0.7 * square * square) return exact;
  const ratio = Math.sqrt(a / b);
  return [Math.round((square * ratio) / multiple) * multiple, Math.round(square / ratio / multiple) * multiple];
}

/**
 * The sizes of an aspect ratio that the model can do, small to large.
 * @param {[number, number]} aspect @param {import("../page-types").Sides} sides
 */
export const offered = (aspect, sides) =>
  SQUARES.map((square) => sized(aspect, square, sides)).filter((size) => size.every((side) => side >= sides.min && side <= sides.max));

/**
 * The aspect ratio that a size has, within what rounding to multiples changes.
 * @param {number} width @param {number} height @returns {[number, number] | undefined}
 */
export const aspectOf = (width, height) => ASPECTS.find(([a, b]) => Math.abs(width / height / (a / b) - 1) < 0.03);

/** Millions of pixels, 1024x1024 as 1. @param {number} width @param {number} height */
export const megapixels = (width, height) => (width * height) / 1048576;
