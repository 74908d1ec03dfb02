// Keyboard shortcuts of the page; help.js lists them.

import { put } from "./draft.js";
import { theForm } from "./form.js";
import { whole } from "./images.js";
import { underWay } from "./now.js";
import { jobs, remove } from "./state.js";

/** Moves through the images. @param {number} by */
function move(by) {
  const tiles = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-image]")]);
  const at = tiles.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const next = tiles[at < 0 ? (by > 0 ? 0 : tiles.length - 1) : at + by];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** Which of the earlier prompts ↑ has brought. */
let earlier = -1;

/** ↑ at the beginning of the prompt brings the one before, ↓ at its end goes back. @param {KeyboardEvent} event @param {HTMLTextAreaElement} prompt */
function recall(event, prompt) {
  const up = event.key === "ArrowUp" && prompt.selectionEnd === 0;
  const down = event.key === "ArrowDown" && prompt.selectionStart === prompt.value.length && earlier >= 0;
  if ((!up && !down) || event.shiftKey) return;
  const prompts = [...new Set(jobs.map((job) => job.params.prompt))];
  const at = earlier + (up ? 1 : -1);
  if (at >= prompts.length) return;
  event.preventDefault();
  earlier = at;
  put("prompt", prompts[at] ?? "");
  const job = jobs.find(({ params }) => params.prompt === prompts[at]);
  if (job?.prompt_cut) void whole(job).then(() => put("prompt", job.params.prompt), () => undefined);
  if (up) prompt.setSelectionRange(0, 0);
}

/** @param {() => void} help */
export function acceptKeys(help) {
  addEventListener("keydown", (event) => {
    if (event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      earlier = -1;
      theForm().querySelector("form")?.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      const job = underWay().find(({ cancelling }) => !cancelling);
      if (job) void remove(job).catch(() => undefined);
      return;
    }
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.id === "param-prompt") recall(event, /** @type {HTMLTextAreaElement} */ (target));
    if (target.matches("input:not([type=checkbox], [type=radio]), textarea, select")) return;
    /** @type {Record<string, () => void>} */
    const keys = { j: () => move(1), k: () => move(-1), "/": () => document.getElementById("param-prompt")?.focus(), "?": help };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
