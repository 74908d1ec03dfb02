// Settings from an image that is dropped or pasted, and from another program's pasted text.

import { ask, Refusal } from "./api.js";
import { h } from "./dom.js";
import { take } from "./draft.js";
import { theForm } from "./form.js";
import { attach, showImages } from "./references.js";
import { status } from "./state.js";
import { t } from "./texts.js";

/** The settings line of A1111's text, which Civitai and most other programs copy. */
const PARAMETERS = /(^|\n)\s*Steps: \d+,.*\bSeed: \d+/;

/** Reads the settings of a file or a text into the form. @param {Blob | string} what @param {string} name */
async function read(what, name) {
  const form = theForm();
  try {
    const { program, params } = await ask("POST", "metadata", what);
    const { count: _, ...values } = params;
    take(values, true);
    form.notify(program ? t("read.program", { name, program }) : t("read", { name }), true);
  } catch (refusal) {
    const { message, hint, status: code } = /** @type {Refusal} */ (refusal);
    form.notify(code ? [message, hint].filter(Boolean).join(" — ") : t("offline.submit"));
  }
  document.getElementById("param-prompt")?.focus();
}

/** Listens to the whole page. */
export function acceptDrops() {
  /** @type {HTMLElement | undefined} */
  let veil;
  let depth = 0;
  const hide = () => {
    veil?.remove();
    depth = 0;
  };
  const events = /** @type {[string, (event: DragEvent) => void][]} */ ([
    ["dragenter", () => {
      if (depth++) return;
      const zones = status?.capabilities?.initial_image ? ["drop", "drop.initial"] : ["drop"];
      veil = h("div", { class: "veil" }, ...zones.map((zone) => h("div", { class: "zone", "data-zone": zone }, t(zone))));
      document.body.append(veil);
    }],
    ["dragleave", () => --depth <= 0 && hide()],
    ["dragover", () => undefined],
    ["drop", (event) => {
      hide();
      const file = event.dataTransfer?.files[0];
      if (!file) return;
      if (event.target instanceof HTMLElement && event.target.dataset.zone === "drop.initial") void attach("initial", file).then(showImages);
      else void read(file, file.name);
    }],
  ]);
  for (const [name, act] of events) {
    addEventListener(name, (event) => {
      const drag = /** @type {DragEvent} */ (event);
      if (!drag.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      act(drag);
    });
  }
  addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!file && !PARAMETERS.test(text)) return;
    event.preventDefault();
    void read(file ?? text, file ? file.name : t("pasted"));
  });
}
