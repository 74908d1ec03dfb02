// The gallery: images of ended jobs, as long as the daemon stores them.

import { button, h } from "./dom.js";
import { finished, tile } from "./images.js";
import { largeJob } from "./now.js";
import { listen, more, older, status } from "./state.js";
import { away, number, t } from "./texts.js";

const DAY = 86400000;

class ZGallery extends HTMLElement {
  /** @type {Map<string, HTMLElement>} */
  tiles = new Map();

  connectedCallback() {
    if (this.firstChild) return;
    this.append(h("div", { class: "title" }, h("h2", {}, t("gallery")), h("p", { class: "help" })), h("div", { class: "tiles" }),
      button(t("older"), () => void more().catch(() => undefined), { class: "plain older" }));
    this.draw();
    listen(this, ["jobs", "status"], () => this.draw());
  }

  draw() {
    const large = largeJob();
    const shown = finished().filter(({ job }) => job !== large);
    const place = this.querySelector(".tiles"), help = this.querySelector(".help"), next = this.querySelector(".older");
    if (!place || !help || !(next instanceof HTMLElement)) return;
    this.hidden = !shown.length && !older;
    next.hidden = !older;
    const kept = status?.retention?.seconds;
    help.textContent = kept ? t("gallery.retention", { time: number(Math.round((kept * 1000) / DAY), { style: "unit", unit: "day", unitDisplay: "long" }) }) : "";
    const tiles = new Map();
    for (const one of shown) tiles.set(one.image.id, this.tiles.get(one.image.id) ?? this.tile(one));
    this.tiles = tiles;
    const wanted = [...tiles.values()];
    for (const child of [...place.children]) if (!wanted.includes(/** @type {HTMLElement} */ (child))) child.remove();
    wanted.forEach((child, at) => place.children[at] !== child && place.insertBefore(child, place.children[at] ?? null));
  }

  /** @param {import("./images.js").Shown} shown */
  tile(shown) {
    const element = tile(shown, true);
    const { expires_ms } = shown.job;
    if (expires_ms && expires_ms - Date.now() < DAY) element.append(h("span", { class: "badge" }, t("expires", { when: away(expires_ms) })));
    return element;
  }
}

customElements.define("z-gallery", ZGallery);
