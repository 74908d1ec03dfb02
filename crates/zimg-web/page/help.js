// The list of keyboard shortcuts.

import { button, h } from "./dom.js";
import { t } from "./texts.js";

/** @type {[string[], string][]} */
const LIST = [
  [["Ctrl", "Enter"], "keys.draw"], [["Esc"], "keys.cancel"], [["/"], "keys.prompt"], [["↑"], "keys.earlier"], [["J", "K"], "keys.gallery"], [["Enter"], "keys.open"],
  [["+", "−", "0"], "keys.zoom"], [["D"], "keys.download"], [["?"], "keys.help"],
];

/** Shows the list. */
export function help() {
  const rows = LIST.map(([keys, text]) => h("div", {}, h("dt", {}, ...keys.map((key) => h("kbd", {}, key))), h("dd", {}, t(text))));
  const dialog = h("dialog", { class: "help-dialog", "aria-labelledby": "keys-title" });
  dialog.append(h("h2", { id: "keys-title" }, t("shortcuts")), h("dl", {}, ...rows), h("p", { class: "help" }, t("keys.drop")), button(t("close"), () => dialog.close(), { class: "plain" }));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
