// One image in full view: zoom, every setting, and what can be done with it.

import { imageAddress, Refusal } from "./api.js";
import { button, h, iconButton } from "./dom.js";
import { copyImage, copyText } from "./copy.js";
import { labelOf } from "./fields.js";
import { theForm } from "./form.js";
import { standard } from "./draft.js";
import { linkOf } from "./link.js";
import { again, allImages, download, settingsOf, tileOf, vary, whole } from "./images.js";
import { listen, parameters, remove, status } from "./state.js";
import { away, moment, t } from "./texts.js";

/** Every parameter of an image with its value, defaults included. @param {import("./images.js").Shown} shown @returns {[string, string][]} */
function everySetting(shown) {
  const values = settingsOf(shown);
  return parameters.filter(({ name }) => name !== "count" && name !== "prompt").flatMap(({ name, default: fixed, from_model }) => {
    const value = values[name] ?? (from_model ? standard(name) : fixed);
    return value === null || value === undefined || value === "" ? [] : [/** @type {[string, string]} */ ([name, value === true ? "✓" : value === false ? "–" : String(value)])];
  });
}

/** Takes an image as the initial one of the next. @param {import("./images.js").Shown} shown */
async function startFrom({ job, image }) {
  const { attach, showImages } = await import("./references.js");
  try {
    const png = await (await fetch(imageAddress(image.id))).blob();
    await attach("initial", new File([png], `${job.id}-${image.image}.png`, { type: "image/png" }));
    showImages();
    theForm().notify(t("taken.start"));
  } catch {
    theForm().notify(t("offline.submit"));
  }
}

/** Every setting, and what is known of the job, for people. @param {import("./images.js").Shown} shown */
function facts(shown) {
  const { started, accepted_ms, expires_ms } = shown.job;
  const rows = everySetting(shown).map(([name, value]) => [labelOf(name), value]);
  for (const [key, value] of [["model", started?.model], ["made", moment(accepted_ms)], ["expires.label", expires_ms && away(expires_ms)]]) if (value) rows.push([t(String(key)), String(value)]);
  return rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

class ZViewer extends HTMLElement {
  dialog = h("dialog", { class: "viewer", onclose: () => this.closed() });
  id = "";
  /** Of fitting the window; 0 fits. */
  zoom = 0;
  bare = false;

  connectedCallback() {
    if (this.firstChild) return;
    this.append(this.dialog);
    this.dialog.setAttribute("aria-label", t("viewer"));
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("view", (event) => this.isConnected && this.open(/** @type {CustomEvent} */ (event).detail));
    listen(this, ["jobs"], () => this.dialog.open && this.changed());
  }

  shown() {
    return allImages().find(({ image }) => image.id === this.id);
  }

  /** Its job was deleted, or more is known of it. */
  changed() {
    const shown = this.shown(), list = this.dialog.querySelector("dl");
    if (!shown) return this.dialog.close();
    const now = h("dl", {}, ...facts(shown));
    if (list && list.textContent !== now.textContent) list.replaceWith(now);
  }

  /** @param {string} id */
  async open(id) {
    this.id = id;
    this.zoom = 0;
    const shown = this.shown();
    if (!shown) return;
    this.draw(shown);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.querySelector("div")?.focus();
    if (shown.job.prompt_cut || !shown.job.started) {
      await whole(shown.job).catch(() => undefined);
      // A long prompt is there as a whole now.
      if (this.id === id && this.dialog.open) this.draw(shown);
    }
  }

  /** Focus goes back to the image in the gallery. */
  closed() {
    tileOf(this.id)?.focus();
  }

  /** @param {import("./images.js").Shown} shown */
  draw(shown) {
    const { job, image } = shown;
    const address = imageAddress(image.id);
    const img = h("img", { src: address, alt: job.params.prompt, width: image.width, height: image.height, onclick: () => this.scale(this.zoom ? 0 : 1) });
    const problem = h("p", { class: "error", role: "alert" });
    const copyable = Boolean(navigator.clipboard && "write" in navigator.clipboard);
    const then = (/** @type {() => any} */ act) => () => {
      this.dialog.close();
      act();
    };
    const text = () => [job.params.prompt, ...everySetting(shown).map(([name, value]) => `${labelOf(name)}: ${value}`)].join("\n");
    const downloads = h("div", { class: "group" });
    const fill = () => downloads.replaceChildren(...(status?.front.formats ?? ["png"]).map((format) => download(shown, format, this.bare)));
    fill();
    const bare = h("input", { type: "checkbox", checked: this.bare, onchange: () => {
      this.bare = bare.checked;
      fill();
    } });
    const focused = this.dialog.contains(document.activeElement) && document.activeElement?.getAttribute("aria-label");
    let sure = false;
    const erase = button(t("delete"), () => {
      if (!sure) {
        sure = true;
        erase.textContent = job.images.length > 1 ? t("delete.all", { count: job.images.length }) : t("delete.sure");
      } else remove(job).catch((/** @type {Refusal} */ refusal) => (problem.textContent = refusal.message));
    }, { class: "danger" });
    this.dialog.replaceChildren(
      h("div", { class: "view", tabindex: 0, "aria-label": t("zoom.help"), role: "group" }, img),
      h("div", { class: "tools" }, iconButton("left", t("previous"), () => this.step(-1)), iconButton("right", t("next"), () => this.step(1)),
        iconButton("less", t("zoom.out"), () => this.scale(this.zoom - 1)), iconButton("more", t("zoom.in"), () => this.scale(this.zoom + 1)), iconButton("close", t("close"), () => this.dialog.close())),
      h("aside", {}, h("p", { class: "words" }, job.params.prompt), h("dl", {}, ...facts(shown)),
        h("h3", {}, t("again")), h("div", { class: "group" },
          button(t("again.all"), then(() => again(shown, "all"))),
          button(t("again.vary"), () => vary(shown).then(() => this.dialog.close(), (/** @type {Refusal} */ refusal) => (problem.textContent = refusal.message))),
          button(t("again.prompt"), then(() => again(shown, "prompt"))), button(t("again.seed"), then(() => again(shown, "seed"))),
          status?.capabilities?.initial_image && button(t("again.start"), then(() => startFrom(shown)))),
        problem,
        h("h3", {}, t("download")), downloads, h("label", { class: "check" }, bare, t("download.bare")),
        h("h3", {}, t("copy")), h("div", { class: "group" },
          copyable && button(t("copy.image"), () => copyImage(address, t("copied.image"), t("copied.no"))),
          button(t("copy.settings"), () => copyText(text(), t("copied.settings"))), button(t("copy.link"), () => copyText(linkOf(settingsOf(shown)), t("copied.link")))),
        erase));
    // What had the focus has it again, or keys would go nowhere.
    const holder = focused !== false && this.dialog.querySelector(`[aria-label="${CSS.escape(focused ?? t("zoom.help"))}"]`);
    if (holder instanceof HTMLElement) holder.focus();
  }

  /** Fits at 0; else so many times the image's own pixels. @param {number} zoom */
  scale(zoom) {
    const view = this.dialog.querySelector(".view"), img = view?.querySelector("img");
    if (!view || !img) return;
    this.zoom = Math.min(4, Math.max(0, zoom));
    view.classList.toggle("zoomed", this.zoom > 0);
    img.style.width = this.zoom ? `${(img.naturalWidth * this.zoom) / devicePixelRatio}px` : "";
    if (this.zoom) view.scrollTo((view.scrollWidth - view.clientWidth) / 2, (view.scrollHeight - view.clientHeight) / 2);
  }

  /** @param {number} by */
  step(by) {
    const all = allImages();
    const at = all.findIndex(({ image }) => image.id === this.id) + by;
    if (all[at]) void this.open(all[at].image.id);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => void>} */
    const keys = {
      j: () => this.step(1), k: () => this.step(-1), ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1),
      "+": () => this.scale(this.zoom + 1), "=": () => this.scale(this.zoom + 1), "-": () => this.scale(this.zoom - 1), 0: () => this.scale(0),
      d: () => void this.dialog.querySelector("a")?.click(),
    };
    const act = keys[event.key];
    if (!act || (this.zoom && event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }
}

customElements.define("z-viewer", ZViewer);
