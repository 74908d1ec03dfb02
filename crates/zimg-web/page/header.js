// The page's head: what the daemon is doing, language, theme, shortcuts.

import { ask } from "./api.js";
import { button, h, iconButton, store, stored } from "./dom.js";
import { murmur } from "./say.js";
import { connected, listen, status } from "./state.js";
import { choose, language, t } from "./texts.js";
import { daemonWords } from "./words.js";

const THEMES = ["auto", "light", "dark"];
const root = document.documentElement;

/** Takes the stored theme; without one the browser's preference holds. */
export function restoreTheme() {
  try { root.dataset.theme = stored(localStorage, "theme") ?? "auto"; } catch { root.dataset.theme = "auto"; }
}

class ZStatus extends HTMLElement {
  connectedCallback() {
    this.draw();
    listen(this, ["status"], () => this.draw());
  }

  draw() {
    const now = connected === false ? { state: "offline" } : status?.daemon ?? { state: "connecting" };
    const calm = now.state === "ready" || now.state === "busy" || now.state === "asleep";
    this.dataset.state = calm ? now.state : now.state === "failed" || now.state === "offline" || now.state === "unreachable" ? "bad" : "changing";
    const sentence = [daemonWords(now), now.state === "failed" || now.state === "unreachable" ? now.hint : ""].filter(Boolean).join(" — ");
    if (!calm) murmur(sentence);
    const line = h("span", { class: "state" }, sentence);
    const model = h("span", { class: "model" }, calm ? status?.model?.name ?? "" : "");
    if (this.textContent !== (line.textContent ?? "") + model.textContent + (now.state === "asleep" ? t("wake") : ""))
      this.replaceChildren(h("span", { class: "dot" }), line, model, now.state === "asleep" ? button(t("wake"), () => void ask("POST", "wake").catch(() => undefined), { class: "plain" }) : "");
  }
}
customElements.define("z-status", ZStatus);

/** @param {() => void} redraw after another language @param {() => void} help */
export function header(redraw, help) {
  const other = language === "zh" ? "en" : "zh";
  const theme = iconButton("theme", "", () => {
    root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme ?? "auto") + 1) % THEMES.length];
    store("localStorage", "theme", root.dataset.theme);
    name();
  });
  const name = () => {
    theme.title = t(`theme.${root.dataset.theme ?? "auto"}`);
    theme.setAttribute("aria-label", theme.title);
  };
  name();
  return h("header", {}, h("h1", {}, "zimg"), h("z-status"), h("nav", { "aria-label": t("page") },
    button(t("language.other"), () => void choose(other).then(redraw), { class: "icon", lang: other === "zh" ? "zh-Hans" : other }), theme,
    button("?", help, { class: "icon", title: t("shortcuts"), "aria-label": t("shortcuts") })));
}
