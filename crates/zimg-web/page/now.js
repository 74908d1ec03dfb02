// What is under way: the running job large with its preview, others in a line each.

import { Refusal } from "./api.js";
import { button, h, iconButton } from "./dom.js";
import { put, take } from "./draft.js";
import { again, download, sidesOf, tile, tileOf, vary, whole } from "./images.js";
import { jobs, listed, listen, remove, status, unfinished } from "./state.js";
import { murmur, say } from "./say.js";
import { number, t } from "./texts.js";
import { jobWords, share } from "./words.js";

/** @typedef {import("../page-types").Job} Job */

/** Failed jobs that stay in sight until they are dismissed. */
const FAILED_MAX = 3;

/** The job that is shown large: the first unfinished one, else the newest that has images. */
export const largeJob = () => underWay()[0] ?? jobs.find((job) => job.state === "done" && job.images.length);

/** Unfinished jobs: running, then those before batch, then as accepted. */
export function underWay() {
  const rank = (/** @type {Job} */ job) => (job.state === "running" ? 0 : job.priority === "interactive" ? 1 : 2);
  return jobs.filter(unfinished).sort((a, b) => rank(a) - rank(b) || (a.position ?? 0) - (b.position ?? 0) || a.accepted_ms - b.accepted_ms);
}

class ZNow extends HTMLElement {
  /** @type {Map<string, { element: HTMLElement, show: () => void, key: string }>} */
  cards = new Map();
  /** @type {HTMLElement | undefined} */
  empty;
  /** The model that its examples are for. @type {string | undefined} */
  emptyFor;

  connectedCallback() {
    if (this.cards.size) return;
    this.setAttribute("aria-label", t("now"));
    this.setAttribute("role", "region");
    this.draw();
    listen(this, ["jobs", "status"], () => this.draw());
    listen(this, ["job"], (job) => {
      if (!job) return;
      const card = this.cards.get(job.id);
      // The card's kind changes when its job begins to run.
      if (!card || card.key !== keyOf(job, largeJob() === job)) this.draw();
      else card.show();
      if (job.state === "running" || job.state === "waiting") murmur(jobWords(job));
    });
    listen(this, ["ended"], (job) => job && say(job.state === "failed" ? jobWords(job) : t("say.done")));
    const clock = setInterval(() => {
      if (!this.isConnected) return clearInterval(clock);
      this.cards.forEach(({ show }) => show());
      // A tab in the background shows it, too.
      const [job] = underWay();
      const done = job && share(job);
      document.title = [done === undefined ? "" : number(done, { style: "percent", maximumFractionDigits: 0 }), t("title")].filter(Boolean).join(" · ");
    }, 1000);
  }

  draw() {
    const large = largeJob();
    const failed = jobs.filter((job) => job.state === "failed").slice(0, FAILED_MAX);
    const shown = [...failed, ...(large ? [large] : []), ...underWay().filter((job) => job !== large)];
    const cards = new Map();
    for (const job of shown) {
      const key = keyOf(job, job === large);
      const old = this.cards.get(job.id);
      cards.set(job.id, old?.key === key ? old : { key, ...(job === large ? card(job) : line(job)) });
    }
    this.cards = cards;
    const wanted = [...cards.values()].map(({ element }) => element);
    const name = status?.model?.name;
    if (!this.empty || this.emptyFor !== name) [this.empty, this.emptyFor] = [empty(name), name];
    const children = wanted.length || !listed ? wanted : [this.empty];
    const focused = document.activeElement?.getAttribute("data-image");
    // Elements that stay keep their place and focus.
    for (const child of [...this.children]) if (!children.includes(/** @type {HTMLElement} */ (child))) child.remove();
    children.forEach((child, at) => this.children[at] !== child && this.insertBefore(child, this.children[at] ?? null));
    cards.forEach(({ show }) => show());
    // An image that is in another card now, or in the gallery, keeps it, too.
    if (focused) queueMicrotask(() => document.activeElement === document.body && tileOf(focused)?.focus());
  }
}

/** What a card was made from; another key makes another card. @param {Job} job @param {boolean} large */
const keyOf = (job, large) => [job.id, large, unfinished(job), job.failure?.message, job.images.length, job.started?.width].join();

/** @param {Job} job */
const cancelButton = (job) => button(t("cancel"), () => void remove(job).catch(() => undefined), { class: "plain", title: "Esc" });

/** @param {Job} job */
function card(job) {
  const running = unfinished(job);
  const done = job.images.map((image) => tile({ job, image }, job.images.length > 1));
  const preview = h("img", { class: "preview", alt: t("preview"), hidden: true });
  const frame = h("div", { class: "tile blank" }, preview);
  const [width, height] = sidesOf(job);
  const model = status?.model;
  const ratio = job.started || job.images.length || job.params.width ? width / height : (model?.width ?? 1) / (model?.height ?? 1);

  const bar = h("progress", { max: 1, "aria-label": t("progress") });
  const what = h("p", { class: "what" });
  const problem = h("p", { class: "error", role: "alert" });
  const first = job.images[0];
  const actions = running ? [cancelButton(job)] : [
    button(t("vary"), () => void vary({ job, image: first }).catch((refusal) => (problem.textContent = /** @type {Refusal} */ (refusal).message)), { class: "plain" }),
    button(t("reuse"), () => void again({ job, image: first }, "all").catch(() => undefined), { class: "plain" }), job.images.length === 1 && download({ job, image: first }, "png")];
  const frames = h("div", { class: job.count > 1 ? "frames several" : "frames" }, ...done, running && frame);
  const element = h("article", { class: job.count > 1 ? "card" : "card single", "aria-label": job.params.prompt }, frames, running && bar,
    h("div", { class: "line" }, h("div", {}, what, h("p", { class: "words" }, job.params.prompt)), h("div", { class: "actions" }, ...actions)), problem);
  element.style.setProperty("--ratio", String(ratio));
  return { element, show: () => {
    what.textContent = running ? jobWords(job) : "";
    what.hidden = !running;
    const now = share(job);
    if (now === undefined) bar.removeAttribute("value");
    else bar.value = now;
    frame.hidden = job.images.length >= job.count;
    preview.hidden = !job.preview;
    if (job.preview && preview.src !== job.preview) preview.src = job.preview;
    frame.classList.toggle("quiet", !job.preview);
  } };
}

/** @param {Job} job */
function line(job) {
  const what = h("p", { class: "what" });
  const failed = job.state === "failed";
  const actions = failed
    ? [button(t("try_again"), () => void whole(job).then(() => take(job.params, true), () => undefined), { class: "plain" }),
      iconButton("close", t("dismiss"), () => void remove(job).catch(() => undefined))]
    : [cancelButton(job)];
  const element = h("article", { class: failed ? "card small failed" : "card small", "aria-label": job.params.prompt },
    h("div", { class: "line" }, h("div", {}, h("p", { class: "words" }, job.params.prompt), what), h("div", { class: "actions" }, ...actions)));
  return { element, show: () => void (what.textContent = jobWords(job)) };
}

/** What a first visit sees. @param {string | undefined} model */
function empty(model) {
  const examples = model === "tiny" ? ["example.tiny1", "example.tiny2", "example.tiny3"] : ["example.1", "example.2", "example.3"];
  const use = (/** @type {string} */ text) => {
    put("prompt", text);
    document.getElementById("param-prompt")?.focus();
  };
  return h("div", { class: "empty" }, h("h2", {}, t("empty.title")), h("p", {}, t("empty.hint")),
    h("div", { class: "examples" }, ...examples.map((key) => button(t(key), () => use(t(key)), { class: "example" }))));
}

customElements.define("z-now", ZNow);
