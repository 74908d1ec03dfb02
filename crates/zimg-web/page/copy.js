// Copying texts and images, also where the browser's clipboard needs a secure page.

import { h } from "./dom.js";
import { say } from "./say.js";

/** @param {string} text @param {string} done what to say then */
export async function copyText(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain HTTP from another machine has no clipboard: the old way.
    const area = h("textarea", { class: "hidden", "aria-hidden": "true" });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  confirm(done);
}

/** Copies an image as PNG, which is what other programs paste. @param {string} address @param {string} done @param {string} failed */
export async function copyImage(address, done, failed) {
  try {
    const png = fetch(address).then((answer) => answer.blob());
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    confirm(done);
  } catch {
    confirm(failed);
  }
}

/** Says it to everyone: on the button that was pressed for a moment, and to screen readers. @param {string} sentence */
function confirm(sentence) {
  say(sentence);
  const pressed = document.activeElement;
  if (!(pressed instanceof HTMLButtonElement)) return;
  pressed.dataset.done = sentence;
  setTimeout(() => delete pressed.dataset.done, 2000);
}
