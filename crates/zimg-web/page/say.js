// What screen readers hear: one polite line, progress at most every five seconds.

import { h } from "./dom.js";

const GAP = 5000;
export const live = h("div", { class: "hidden", role: "status", "aria-live": "polite" });
let last = 0;

/** Says a sentence now. @param {string} sentence */
export function say(sentence) {
  last = Date.now();
  live.textContent = sentence;
}

/** Says progress, unless something was said a moment ago. @param {string} sentence */
export function murmur(sentence) {
  if (Date.now() - last >= GAP) say(sentence);
}
