// Signing in: by the token in the link of `zimg web`, or with a key.

import { ask, Refusal } from "./api.js";
import { h } from "./dom.js";
import { t } from "./texts.js";

/** Asks for the key until one is right. Where only a link signs in, says so. */
export async function signIn() {
  const { login } = await ask("GET", "session");
  const dialog = h("dialog", { "aria-labelledby": "sign-in-title", oncancel: (/** @type {Event} */ event) => event.preventDefault() });
  const title = h("h2", { id: "sign-in-title" }, t(login === "token" ? "sign_in.link" : "sign_in"));
  document.body.append(dialog);
  if (login === "token") {
    dialog.append(title, h("p", {}, t("sign_in.link.why")));
    dialog.showModal();
    return new Promise(() => undefined);
  }
  const key = h("input", { type: "password", id: "key", autocomplete: "current-password", required: true });
  const problem = h("p", { class: "error", role: "alert" });
  await new Promise((done) => {
    dialog.append(h("form", { onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      try {
        done(await ask("POST", "session", { key: key.value }));
      } catch (refusal) {
        problem.textContent = /** @type {Refusal} */ (refusal).message || t("offline.submit");
        key.select();
      }
    } }, title, h("p", {}, t("sign_in.why")), h("label", { for: "key", class: "label" }, t("key")), key, problem, h("button", { type: "submit", class: "primary" }, t("sign_in.go"))));
    dialog.showModal();
  });
  dialog.remove();
}

/** Changes the token of `zimg web`'s link for a session, before it is seen in the address bar. */
export async function redeem() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  history.replaceState(null, "", location.pathname);
  await ask("POST", "session", { token }).catch(() => undefined);
}
