// The page: signs in, reads what the daemon can do, and puts the elements together.

import { h, insist } from "./dom.js";
import { restore } from "./draft.js";
import "./form.js";
import "./gallery.js";
import { header, restoreTheme } from "./header.js";
import "./now.js";
import { live } from "./say.js";
import { begin } from "./state.js";
import { later, preferred, speak, t } from "./texts.js";

const showHelp = async () => {
  await later();
  (await import("./help.js")).help();
};

/** The elements in the language that is spoken. */
function draw() {
  document.title = t("title");
  document.body.replaceChildren(header(draw, showHelp),
    h("main", {}, h("z-form"), h("div", { class: "results", tabindex: -1 }, h("z-now"), h("z-gallery"))), h("z-viewer"), live);
}

async function signIn() {
  await later();
  await (await import("./sign-in.js")).signIn();
}

restoreTheme();
restore();
if (/\btoken=/.test(location.hash)) await (await import("./sign-in.js")).redeem();
await insist(() => speak(preferred()));
draw();
await insist(() => begin(signIn));
if (matchMedia("(min-width: 900px)").matches) document.getElementById("param-prompt")?.focus();
// What is not needed for the first sight comes after it.
const [, drop, keys, link] = await insist(() => Promise.all([later().then(() => import("./viewer.js")), import("./drop.js"), import("./keys.js"), import("./link.js")]));
drop.acceptDrops();
keys.acceptKeys(showHelp);
link.acceptLinks();
document.body.dataset.complete = "";
