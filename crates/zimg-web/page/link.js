// Settings in the fragment of a link.

import { row, take } from "./draft.js";

/** @typedef {import("../page-types").Values} Values */

/** A link to this page with these settings in its fragment, which browsers do not send to servers. @param {Values} values */
export function linkOf(values) {
  const address = new URL(location.href);
  address.hash = new URLSearchParams(Object.entries(values).map(([name, value]) => [name, String(value)])).toString();
  return address.href;
}

/** Takes the settings of a link's fragment; says whether there were any. @param {string} fragment */
function fromFragment(fragment) {
  /** @type {Values} */
  const values = {};
  for (const [name, text] of new URLSearchParams(fragment)) {
    const parameter = row(name);
    if (!parameter) continue;
    if (parameter.type === "flag") values[name] = text === "true";
    else if (parameter.type === "text" || name === "seed") values[name] = text;
    else if (Number.isFinite(Number(text))) values[name] = Number(text);
  }
  if (!Object.keys(values).length) return false;
  take(values, true);
  return true;
}

/** Takes the settings of the address, now and when it changes, and out of the address bar. */
export function acceptLinks() {
  const open = () => {
    if (fromFragment(location.hash.slice(1))) history.replaceState(null, "", location.pathname);
  };
  open();
  addEventListener("hashchange", open);
}
