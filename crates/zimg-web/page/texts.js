// The page's texts in the user's language, and numbers, times and sizes in its form.

import { h, insist, store, stored } from "./dom.js";

const LANGUAGES = ["en", "zh"];
/** @type {Record<string, string>} */
let words = {};
export let language = "en";

/** The language that was chosen, else the first of the browser's that there is. */
export function preferred() {
  const asked = [stored(localStorageOrNone(), "language"), ...navigator.languages].map((tag) => tag?.slice(0, 2) ?? "");
  return asked.find((tag) => LANGUAGES.includes(tag)) ?? "en";
}

/** Reading `localStorage` throws where cookies are off. */
function localStorageOrNone() {
  try { return localStorage; } catch { return undefined; }
}

/**
 * Takes a language. Texts of what is loaded later have a file of their own.
 * @param {string} wanted @param {string[]} [parts]
 */
export async function speak(wanted, parts = [""]) {
  const texts = await Promise.all(parts.map(async (part) => (await fetch(`text/${wanted}${part}.json`)).json()));
  words = Object.assign({}, language === wanted && words, ...texts);
  language = wanted;
  document.documentElement.lang = wanted === "zh" ? "zh-Hans" : wanted;
}

/** @param {string} chosen */
export async function choose(chosen) {
  await speak(chosen, ["", "-later"]);
  store("localStorage", "language", chosen);
}

/** Texts and styles of what is not needed for the first sight. */
export const later = () => insist(async () => {
  if (!document.querySelector('[href="later.css"]')) await new Promise((done, fail) => {
    const link = h("link", { rel: "stylesheet", href: "later.css", onload: done, onerror: () => {
      link.remove();
      fail();
    } });
    document.head.append(link);
  });
  if (!known("viewer")) await speak(language, ["-later"]);
});

/** @param {string} key */
export const known = (key) => key in words;

/**
 * A text with its places filled.
 * @param {string} key @param {Record<string, string | number>} [values]
 */
export const t = (key, values = {}) =>
  (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));

/** @param {number} value @param {Intl.NumberFormatOptions} [options] */
export const number = (value, options = {}) => new Intl.NumberFormat(language, { maximumFractionDigits: 2, ...options }).format(value);

/** Bytes, as 3.1 GB. @param {number} value */
export function bytes(value) {
  const step = value < 1e6 ? 1 : value < 1e9 ? 2 : 3;
  const unit = ["byte", "kilobyte", "megabyte", "gigabyte"][step];
  return number(value / 1000 ** step, { style: "unit", unit, maximumFractionDigits: value < 1e9 ? 0 : 1 });
}

/** A length of time, in the unit that fits. @param {number} ms */
export function span(ms) {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  if (seconds < 100) return number(seconds, { style: "unit", unit: "second" });
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? number(minutes, { style: "unit", unit: "minute" }) : number(Math.round(minutes / 60), { style: "unit", unit: "hour" });
}

/** A point in time as seen from now, such as "in 6 days". @param {number} ms since 1970 */
export function away(ms) {
  const seconds = (ms - Date.now()) / 1000;
  /** @type {[number, Intl.RelativeTimeFormatUnit][]} */
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"]];
  const [size, unit] = units.find(([size]) => Math.abs(seconds) >= size) ?? [1, "second"];
  return new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(Math.trunc(seconds / Number(size)), /** @type {Intl.RelativeTimeFormatUnit} */ (unit));
}

/** @param {number} ms since 1970 */
export const moment = (ms) => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(ms);
