// Answers that come later than the events: each is older than what the page knows by then.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decoded, generate, imageOf, openPage, withService } from "./harness.mjs";

const service = withService();

/** Notes the names of all events before the page's own elements hear of them. */
const noteEvents = () => {
  window.heard = [];
  const names = ["accepted", "started", "image", "done"];
  window.EventSource = class extends EventSource {
    constructor(address) {
      super(address);
      for (const name of names) this.addEventListener(name, () => window.heard.push(name));
    }
  };
};
const heard = (page, name) => page.waitForFunction((name) => window.heard.includes(name), name);

/** The questions of which each may be answered late, alone and with others. */
const POST = (request) => request.method() === "POST" && request.url().endsWith("/jobs");
const ONE = (request) => request.method() === "GET" && /\/jobs\/\d+$/.test(request.url());
for (const [name, late] of [["the submission is", [POST]], ["the question for the job is", [ONE]], ["both are", [POST, ONE]]]) {
  test(`${name} answered after the image has come: the image stays, and the job has ended`, async () => {
    const page = await openPage(service, { script: noteEvents });
    await page.route(/\/zimg\/v1\/jobs/, async (route, request) => {
      if (!late.some((is) => is(request))) return route.continue();
      // It is answered at once, as all is that the front knows then.
      const response = await route.fetch();
      await heard(page, "done");
      await route.fulfill({ response });
    });
    const job = await generate(page, { steps: 4 });
    await imageOf(page, job).waitFor();
    await page.locator("z-now progress").waitFor({ state: "detached" });
    assert.deepEqual(await decoded(imageOf(page, job)), [256, 256]);
    await imageOf(page, job).click();
    // What only the stored job has.
    await page.locator("z-viewer dl", { hasText: /Expires\s*in \d+ days/ }).waitFor();
    await page.unrouteAll();
    await page.done();
  });
}

test("the image that has the focus keeps it when its job ends and when another begins", async () => {
  const page = await openPage(service);
  const job = await generate(page, { count: 2, steps: 8 });
  const first = page.locator(`[data-image="${job}-1"]`);
  await first.focus();
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("data-image"));
  await page.locator("z-now progress").waitFor({ state: "detached" });
  assert.equal(await focused(), `${job}-1`);
  // Another client's job takes its place; the image goes to the gallery.
  const other = await fetch(`${service.url}zimg/v1/jobs`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ params: { prompt: "a blue square", steps: 4 } }) });
  const { id } = await other.json();
  await imageOf(page, id).waitFor();
  assert.equal(await focused(), `${job}-1`);
  await page.done();
});
