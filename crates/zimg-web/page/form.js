// The form: made from the daemon's parameters and what the model can do.

import { Refusal } from "./api.js";
import { button, h, iconButton, insist, set } from "./dom.js";
import { advice, dice, draft, hurry, ondraft, params, put, references, row, undo } from "./draft.js";
import { anyField, field, labelOf, notes, stepper } from "./fields.js";
import { sizeField } from "./size.js";
import { jobs, listen, parameters, status, submit } from "./state.js";
import { say } from "./say.js";
import { later, t } from "./texts.js";

/** Parameters that have a place of their own; all others follow in the order of the table. */
const SPECIAL = ["prompt", "negative", "width", "height", "count", "seed", "strength", "lora"];

export class ZForm extends HTMLElement {
  /** @type {{ element: HTMLElement, show: () => void }[]} */
  fields = [];
  /** What the fields were made from. */
  made = "";

  connectedCallback() {
    if (this.made) return;
    this.draw();
    listen(this, ["status"], () => this.draw());
    ondraft(this, () => this.show());
  }

  /** Makes the fields again when the model or the parameters are others. */
  draw() {
    const key = JSON.stringify([status?.model, status?.capabilities, parameters.length]);
    if (key !== this.made) {
      const focused = document.activeElement?.id;
      const open = this.querySelector("details.settings")?.hasAttribute("open") ?? matchMedia("(min-width: 900px)").matches;
      this.made = key;
      this.build(open);
      if (focused) document.getElementById(focused)?.focus();
    }
    this.show();
  }

  /** @param {boolean} open */
  build(open) {
    const can = status?.capabilities;
    const has = (/** @type {string} */ name) => row(name) && (!can || can.parameters.includes(name));
    const others = parameters.filter(({ name }) => !SPECIAL.includes(name) && has(name));
    const prompt = h("textarea", { id: "param-prompt", rows: 3, placeholder: t("prompt.placeholder"), "aria-label": t("param.prompt"), "aria-describedby": "notes-prompt",
      enterkeyhint: "send", oninput: () => put("prompt", prompt.value) });
    const main = [has("negative") && this.negative(), has("width") && sizeField(), has("count") && this.count(), has("seed") && this.seed(),
      ...others.filter(({ advanced }) => !advanced).map(anyField)];
    const rare = others.filter(({ advanced }) => advanced).map(anyField);
    this.fields = [...main, ...rare, this.priority()].filter((one) => one !== false && one !== undefined);
    const shown = this.fields.filter((one) => !rare.includes(one) && one !== this.fields.at(-1)).map(({ element }) => element);
    const draw = h("button", { type: "submit", class: "primary", title: "Ctrl+Enter" }, t("generate"));
    const toggle = iconButton("sliders", t("settings"), () => {
      const settings = this.querySelector("details");
      if (settings) settings.open = !settings.open;
    }, { class: "icon narrow" });
    const form = h("form", { novalidate: true, onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.submit();
    } },
      h("div", { class: "notice", role: "status", hidden: true }),
      h("details", { class: "settings", open }, h("summary", {}, t("settings")), ...shown,
        can?.initial_image && this.later("images", t("initial_image"), () => references.length > 0, async () => (await import("./references.js")).referenceFields()),
        can?.lora && this.later("loras", t("param.lora"), () => Boolean(draft.values.lora), async () => [(await import("./loras.js")).loraField()]),
        h("details", { class: "rare" }, h("summary", {}, t("more")), ...rare.map(({ element }) => element), this.fields.at(-1)?.element)),
      h("div", { class: "prompt", "data-param": "prompt" }, prompt, notes("prompt")),
      h("p", { class: "error refusal", role: "alert" }),
      h("div", { class: "go" }, toggle, draw, iconButton("link", t("copy.link"), async () => {
        const [{ copyText }, { linkOf }] = await Promise.all([import("./copy.js"), import("./link.js")]);
        await copyText(linkOf(params()), t("copied.link"));
      })));
    this.replaceChildren(form);
    this.fields.push({ element: prompt, show: () => {
      if (prompt.value !== (draft.values.prompt ?? "")) prompt.value = String(draft.values.prompt ?? "");
    } });
  }

  /**
   * Fields that are made when they are opened: by the user, or because they have something.
   * @param {string} name @param {string} title @param {() => boolean} has @param {() => Promise<{ element: HTMLElement, show: () => void }[]>} load
   */
  later(name, title, has, load) {
    let asked = false, had = false;
    const box = h("details", { class: name, open: this.querySelector(`.${name}`)?.hasAttribute("open"), ontoggle: async () => {
      if (asked) return;
      asked = true;
      await later();
      const more = await insist(load);
      this.fields.push(...more);
      box.append(...more.map(({ element }) => element));
      this.show();
    } }, h("summary", {}, title));
    this.fields.push({ element: box, show: () => {
      if (has() && !had) box.open = true;
      had = has();
    } });
    return box;
  }

  negative() {
    const input = h("textarea", { id: "param-negative", rows: 2, "aria-label": labelOf("negative"), "aria-describedby": "notes-negative", oninput: () => put("negative", input.value || undefined) });
    const box = h("details", { class: "fold" }, h("summary", {}, labelOf("negative")), h("div", { class: "field", "data-param": "negative" }, input, notes("negative")));
    return { element: box, show: () => {
      const text = String(draft.values.negative ?? "");
      if (input.value !== text) input.value = text;
      if (text) box.open = true;
    } };
  }

  count() {
    const max = Math.min(Number(row("count")?.max ?? 1), status?.capabilities?.images_max ?? Infinity);
    const { control, show } = stepper("count", { min: row("count")?.min, max, step: 1 });
    return { element: field("count", control), show };
  }

  /** The seed: random for each image until it is locked. */
  seed() {
    const input = h("input", { type: "text", id: "param-seed", inputmode: "numeric", autocomplete: "off", placeholder: t("seed.random"), oninput: () => put("seed", input.value.replace(/\D/g, "") || undefined) });
    const lock = iconButton("open", t("seed.lock"), () => put("seed", draft.lock ? undefined : String(jobs[0]?.params.seed ?? dice())));
    const control = h("div", { class: "seed" }, input, iconButton("dice", t("seed.dice"), () => put("seed", dice())), lock);
    return { element: field("seed", control), show: () => {
      const text = String(draft.values.seed ?? "");
      if (input.value !== text) input.value = text;
      lock.setAttribute("aria-pressed", String(draft.lock));
      lock.title = t(draft.lock ? "seed.locked" : "seed.lock");
    } };
  }

  priority() {
    const input = h("input", { type: "checkbox", class: "switch", id: "param-batch", onchange: () => hurry(input.checked ? "batch" : "interactive") });
    return { element: field("batch", input, { help: t("help.batch") }), show: () => void (input.checked = draft.priority === "batch") };
  }

  /** Values, advice and what can be pressed, from the draft. */
  show() {
    for (const { show } of this.fields) show();
    const said = advice();
    for (const place of this.querySelectorAll("[data-param]")) {
      const name = place.getAttribute("data-param");
      const found = said.find(([of]) => of === (name === "size" ? "width" : name));
      const line = place.querySelector(".advice");
      if (line) line.textContent = found ? t(found[1], found[2]) : "";
    }
    this.complain(null);
  }

  /** The error below the field that it is about, or above the button. @param {Refusal | null} refusal */
  complain(refusal) {
    for (const line of this.querySelectorAll(".error")) line.textContent = "";
    for (const input of this.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    if (!refusal) return;
    const param = refusal.param === "width" || refusal.param === "height" ? "size" : refusal.param === "images" ? "image" : refusal.param;
    const place = param && this.querySelector(`[data-param="${CSS.escape(param)}"]`);
    const line = (place || this).querySelector(place ? ".error" : ".refusal");
    if (line) line.textContent = refusal.status ? [refusal.message, refusal.hint].filter(Boolean).join(" — ") : t("offline.submit");
    const input = refusal.param && this.querySelector(`#param-${CSS.escape(refusal.param)}`);
    if (place) for (let box = place.closest("details"); box; box = box.parentElement?.closest("details") ?? null) box.open = true;
    if (input) set(input, "aria-invalid", "true");
    if (input instanceof HTMLElement) input.focus();
  }

  async submit() {
    const go = this.querySelector(".primary");
    if (go?.hasAttribute("aria-busy")) return;
    go?.setAttribute("aria-busy", "true");
    try {
      await submit(params(), draft.priority, references);
      this.complain(null);
      this.notify("");
      say(t("say.accepted"));
      if (!matchMedia("(min-width: 900px)").matches) this.querySelector("details")?.removeAttribute("open");
      document.querySelector(".results")?.scrollTo({ top: 0 });
    } catch (refusal) {
      this.complain(/** @type {Refusal} */ (refusal));
    } finally {
      go?.removeAttribute("aria-busy");
    }
  }

  /** A sentence above the form, with a way back. @param {string} sentence @param {boolean} [canUndo] */
  notify(sentence, canUndo = false) {
    const place = this.querySelector(".notice");
    if (!(place instanceof HTMLElement)) return;
    place.hidden = !sentence;
    place.replaceChildren(h("p", {}, sentence), canUndo ? button(t("undo"), () => {
      undo();
      this.notify("");
    }, { class: "plain" }) : "", iconButton("close", t("close"), () => this.notify("")));
  }
}

/** The one form of the page. */
export const theForm = () => /** @type {ZForm} */ (document.querySelector("z-form"));

customElements.define("z-form", ZForm);
