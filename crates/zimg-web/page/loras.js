// LoRAs of the request: chosen from what the daemon has, with a weight each.

import { ask, Refusal } from "./api.js";
import { button, h } from "./dom.js";
import { draft, put } from "./draft.js";
import { labelOf, notes, stepper } from "./fields.js";
import { say } from "./say.js";
import { number, t } from "./texts.js";

/** @typedef {import("../page-types").Lora} Lora */
/** @typedef {{ name: string, weight: number }} Choice */

/** As many as this are found without a search. */
const FEW = 8;

/** The choices of the draft: `ink:0.8,pixel`. A weight follows the last colon. @returns {Choice[]} */
function chosen() {
  const parts = String(draft.values.lora ?? "").split(",").map((part) => part.trim()).filter(Boolean);
  return parts.map((part) => {
    const [, name, weight] = /^(.*):([^:]*)$/.exec(part) ?? ["", part, "1"];
    return Number.isFinite(Number(weight)) ? { name: name.trim(), weight: Number(weight) } : { name: part, weight: 1 };
  });
}

/** @param {Choice[]} choices */
const choose = (choices) => put("lora", choices.map(({ name, weight }) => (weight === 1 ? name : `${name}:${weight}`)).join() || undefined);

/** Whether a choice means this file: its last part and other capitals will do. @param {string} name @param {string} of */
const means = (name, of) => {
  const [short, full] = [name.toLowerCase().replace(/\.safetensors$/, ""), of.toLowerCase()];
  return full === short || full.endsWith(`/${short}`);
};

/** @param {string} word */
function addWord(word) {
  const prompt = String(draft.values.prompt ?? "");
  if (prompt.toLowerCase().includes(word.toLowerCase())) return;
  put("prompt", prompt ? `${prompt.replace(/[\s,]+$/, "")}, ${word}` : word);
  say(t("lora.word.added", { word }));
}

/** A LoRA with its switch; when it is chosen its weight, too. @param {Lora} lora */
function row(lora) {
  const { name, problem } = lora;
  const mine = () => chosen().find((choice) => means(choice.name, name));
  const without = () => chosen().filter((choice) => !means(choice.name, name));
  const box = h("input", { type: "checkbox", disabled: Boolean(problem), onchange: () => choose(box.checked ? [...chosen(), { name, weight: 1 }] : without()) });
  const label = t("lora.weight", { name });
  const weight = stepper(`lora-${name}`, { min: -16, max: 16, one: 0.1 }, { label, get: () => mine()?.weight ?? 1, take: (to) => {
    const { name: as } = mine() ?? { name };
    choose(chosen().map((choice) => (choice.name === as ? { name: as, weight: to ?? 1 } : choice)));
  } });
  const kind = [lora.title, lora.kind, lora.rank && t("lora.rank", { rank: number(lora.rank) }), lora.base_model].filter(Boolean).join(" · ");
  const words = h("div", { class: "group" }, ...lora.trigger_words.map((word) => button(word, () => addWord(word), { title: t("lora.word", { word }) })));
  const element = h("li", { class: problem ? "lora broken" : "lora" }, h("label", { class: "check" }, box, h("span", {}, name, h("span", { class: "help" }, kind))), weight.control, lora.trigger_words.length > 0 && words,
    ...lora.remarks.map((remark) => h("p", { class: "remark" }, remark)), problem && h("p", { class: "problem" }, problem));
  return { name, element, matches: (/** @type {string} */ text) => `${name} ${kind} ${lora.trigger_words.join(" ")}`.toLowerCase().includes(text), show: () => {
    const on = Boolean(mine());
    // One that has gone bad can still be left out.
    box.disabled = Boolean(problem) && !on;
    box.checked = on;
    weight.control.hidden = words.hidden = !on;
    weight.show();
  } };
}

export function loraField() {
  const list = h("ul", { class: "loras" });
  const trouble = h("div", {});
  const find = h("input", { type: "text", placeholder: t("lora.find"), "aria-label": t("lora.find"), hidden: true, oninput: () => show(), onkeydown: (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && event.preventDefault() });
  /** @type {ReturnType<typeof row>[]} */
  let rows = [];
  let is = "";
  const show = () => {
    const text = find.value.trim().toLowerCase();
    for (const one of rows) {
      one.show();
      one.element.hidden = !one.matches(text) && !chosen().some(({ name }) => means(name, one.name));
    }
    // What the draft has and the daemon has not.
    const missing = rows.length || is ? chosen().filter(({ name }) => !rows.some((one) => means(name, one.name))) : [];
    list.querySelectorAll(".missing").forEach((one) => one.remove());
    list.append(...missing.map(({ name }) => h("li", { class: "lora missing" }, h("p", { class: "problem" }, t("lora.missing", { name })), button(t("remove", { name }), () => choose(chosen().filter((choice) => choice.name !== name)), { class: "plain" }))));
  };
  const load = async () => {
    try {
      const { loras, remarks } = await ask("GET", "loras");
      is = JSON.stringify(loras);
      const rank = (/** @type {Lora} */ lora) => (lora.problem ? 2 : chosen().some(({ name }) => means(name, lora.name)) ? 0 : 1);
      rows = loras.sort((/** @type {Lora} */ a, /** @type {Lora} */ b) => rank(a) - rank(b) || a.name.localeCompare(b.name)).map(row);
      find.hidden = rows.length <= FEW;
      list.replaceChildren(...rows.map(({ element }) => element));
      trouble.replaceChildren(...remarks.map((/** @type {string} */ remark) => h("p", { class: "remark" }, remark)), rows.length ? "" : h("p", { class: "help" }, t("lora.none")));
    } catch (refusal) {
      const { message, hint, status } = /** @type {Refusal} */ (refusal);
      trouble.replaceChildren(h("p", { class: "problem" }, status ? [message, hint].filter(Boolean).join(" — ") : t("offline.submit")));
    }
    show();
  };
  void load();
  const element = h("div", { class: "field wide", "data-param": "lora", role: "group", "aria-label": labelOf("lora") }, find, list, trouble, notes("lora"),
    button(t("lora.again"), () => void load(), { class: "plain" }));
  return { element, show };
}
