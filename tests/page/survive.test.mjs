// What goes on by itself: reload, a restart of the daemon, a restart of the front.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decoded, finishedImage, generate, openPage, preview, PROMPT, withService } from "./harness.mjs";

const service = withService({ each: true });

test("a reload in the middle of an image goes on, and what was typed stays", async () => {
  const page = await openPage(service);
  await generate(page, { steps: 24 });
  await page.locator("#param-prompt").fill("the next one");
  await preview(page).waitFor();
  await page.reload();
  await page.locator("z-now progress").waitFor();
  assert.equal(await page.locator("#param-prompt").inputValue(), "the next one");
  await finishedImage(page).waitFor();
  assert.deepEqual(await decoded(finishedImage(page)), [256, 256]);
  await page.done();
});

test("the daemon is killed in the middle of an image: the page says so and the image comes", async () => {
  const page = await openPage(service, { outages: true });
  await generate(page, { steps: 24, size: 320 });
  await preview(page).waitFor();
  await service.end("daemon", "SIGKILL");
  await page.locator('z-status[data-state="bad"]').waitFor();
  await service.startDaemon();
  await finishedImage(page).waitFor();
  assert.deepEqual(await decoded(finishedImage(page)), [320, 320]);
  await page.locator('z-status[data-state="ready"]').waitFor();
  await page.done();
});

test("the gallery is there after a restart of the front and of the daemon", async () => {
  const page = await openPage(service, { outages: true });
  await generate(page);
  await finishedImage(page).waitFor();
  await service.restart("front");
  await service.restart("daemon");
  await page.locator('z-status[data-state="ready"]').waitFor();
  await page.reload();
  await finishedImage(page).waitFor();
  assert.equal(await finishedImage(page).getAttribute("alt"), PROMPT);
  assert.deepEqual(await decoded(finishedImage(page)), [256, 256]);
  await page.locator("z-now .tile").click();
  assert.match(await page.locator("z-viewer dl").innerText(), /Expires\s+in \d+ days/);
  await page.done();
});

test("the front is killed and started again: the open page goes on without a reload", async () => {
  const page = await openPage(service, { outages: true });
  await generate(page, { steps: 24, size: 320 });
  await preview(page).waitFor();
  const done = () => page.locator("z-now progress").evaluate((bar) => bar.value);
  const before = await done();
  await service.restart("front", "SIGKILL");
  await page.waitForFunction((before) => !document.querySelector("z-now progress") || document.querySelector("z-now progress").value > before, before);
  await finishedImage(page).waitFor();
  await page.locator('z-status:not([data-state="bad"])').waitFor();
  await page.done();
});

test("an image that another page deletes goes from this one", async () => {
  const page = await openPage(service), other = await openPage(service);
  await generate(page);
  await finishedImage(page).waitFor();
  await finishedImage(other).waitFor();
  await other.locator("z-now .tile").click();
  await other.getByRole("button", { name: "Delete", exact: true }).click();
  await other.getByRole("button", { name: "Delete for good?" }).click();
  await finishedImage(other).waitFor({ state: "detached" });
  await finishedImage(page).waitFor({ state: "detached" });
  await page.done();
  await other.done();
});
