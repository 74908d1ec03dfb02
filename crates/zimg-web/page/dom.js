// Elements made by code. Text becomes text nodes, never markup.

/**
 * An element with properties, attributes and children.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [props] functions and known properties are set, the rest are attributes
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** @param {Element & Record<string, any>} element @param {string} name @param {any} value */
export function set(element, name, value) {
  if (typeof value === "function" || name === "value" || name === "checked" || name === "textContent") element[name] = value;
  else if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/**
 * A button that does not submit.
 * @param {string} label @param {() => void} onclick @param {Record<string, any>} [props]
 */
export const button = (label, onclick, props = {}) => h("button", { type: "button", onclick, ...props }, label);

/**
 * A button with a drawn sign and a name for screen readers and as a tooltip.
 * @param {string} name of the sign @param {string} label @param {() => void} onclick @param {Record<string, any>} [props]
 */
export const iconButton = (name, label, onclick, props = {}) =>
  h("button", { type: "button", class: "icon", title: label, "aria-label": label, onclick, ...props }, icon(name));

/** Paths on a grid of 24. @type {Record<string, string>} */
const ICONS = {
  close: "M6 6l12 12M18 6L6 18",
  dice: "M5 5h14v14H5zM9 9v.1M15 15v.1M12 12v.1",
  lock: "M6 11h12v9H6zM9 11V7.5a3 3 0 0 1 6 0V11",
  open: "M6 11h12v9H6zM9 11V7.5a3 3 0 0 1 5.8-1",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  swap: "M4 8h14l-4-4M20 16H6l4 4",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  more: "M12 5v14M5 12h14",
  less: "M5 12h14",
  reset: "M4 5v5h5M5 15a8 8 0 1 0 1-8l-2 3",
  sliders: "M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4",
  theme: "M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z",
};

/** @param {string} name */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name] ?? "");
  svg.append(path);
  return svg;
}

/** A stored choice; pages without storage work, too. @param {Storage | undefined} storage @param {string} key */
export function stored(storage, key) {
  try { return storage?.getItem(key) ?? null; } catch { return null; }
}

/** @param {"localStorage" | "sessionStorage"} where @param {string} key @param {string} value */
export function store(where, key, value) {
  try { window[where].setItem(key, value); } catch { /* storage is off or full */ }
}

/** Tries until it succeeds: the front may be restarted meanwhile. @template T @param {() => Promise<T>} load @returns {Promise<T>} */
export async function insist(load) {
  for (let delay = 500; ; delay = Math.min(delay * 2, 8000)) {
    try {
      return await load();
    } catch {
      await new Promise((next) => setTimeout(next, delay));
    }
  }
}
