// Generating: form, preview, queue, cancel, several images, errors in place.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decoded, finishedImage, generate, imageOf, openPage, preview, PROMPT, withService } from "./harness.mjs";

const service = withService();

test("the first visit says what to type, and an example fills the prompt", async () => {
  const page = await openPage(service);
  await page.getByRole("heading", { name: "What would you like to see?" }).waitFor();
  // The examples are those of the model, which may still be loading.
  await page.locator(".example", { hasText: PROMPT }).click();
  assert.equal(await page.locator("#param-prompt").inputValue(), PROMPT);
  await page.done();
});

test("a prompt becomes an image, with previews before it", async () => {
  const page = await openPage(service);
  const job = await generate(page, { steps: 12 });
  await preview(page).waitFor();
  assert.match(await page.locator("z-now .what").first().innerText(), /^Step \d+ of 12/);
  assert.equal(await finishedImage(page).count(), 0);
  await imageOf(page, job).waitFor();
  assert.deepEqual(await decoded(imageOf(page, job)), [256, 256]);
  assert.equal(await imageOf(page, job).getAttribute("alt"), PROMPT);
  await page.done();
});

test("several images of one job arrive one after the other with consecutive seeds", async () => {
  const page = await openPage(service);
  await page.locator("#param-seed").fill("41");
  const job = await generate(page, { count: 3, prompt: "a blue square on a black background" });
  await imageOf(page, job, 3).waitFor();
  await page.locator("z-now progress").waitFor({ state: "detached" });
  await imageOf(page, job, 2).click();
  await page.locator("z-viewer aside").waitFor();
  assert.match(await page.locator("z-viewer dl").innerText(), /Seed\s+42/);
  await page.done();
});

test("two pages share one queue, and each sees its own place", async () => {
  const first = await openPage(service), second = await openPage(service);
  await generate(first, { steps: 100, size: 512 });
  await first.locator("z-now .card.single progress").waitFor();
  await generate(second, { steps: 100, prompt: "a green triangle on a yellow background" });
  const line = second.locator("z-now .what", { hasText: /Place 2 in the queue|Next in the queue/ });
  await line.first().waitFor();
  // Both pages belong to one user, who may cancel from either.
  const cards = first.locator("z-now article:has-text('Cancel')");
  await cards.nth(1).waitFor();
  await second.locator("#param-prompt").focus();
  await second.keyboard.press("Escape");
  await cards.nth(1).waitFor({ state: "detached" });
  await first.keyboard.press("Escape");
  await cards.waitFor({ state: "detached" });
  await first.done();
  await second.done();
});

test("Escape cancels the running image", async () => {
  const page = await openPage(service);
  await generate(page, { steps: 100, size: 512 });
  await preview(page).waitFor();
  await page.keyboard.press("Escape");
  await page.locator("z-now progress").waitFor({ state: "detached" });
  await page.done();
});

test("an error stands at its field and goes with the next change", async () => {
  const page = await openPage(service);
  await generate(page, { steps: 1000 });
  const error = page.locator('[data-param="steps"] .error');
  await error.filter({ hasText: "100" }).waitFor();
  assert.equal(await page.locator("#param-steps").getAttribute("aria-invalid"), "true");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "param-steps");
  await page.locator("#param-steps").fill("4");
  assert.equal(await error.innerText(), "");
  page.expectErrors(/400/);
  await page.done();
});

test("advice comes where a setting has no effect or is unusual", async () => {
  const page = await openPage(service);
  await page.locator("summary", { hasText: "Negative prompt" }).click();
  await page.locator("#param-negative").fill("blurry");
  const advice = page.locator('[data-param="negative"] .advice');
  await advice.filter({ hasText: "no effect while the guidance is 0" }).waitFor();
  await page.locator("#param-guidance").fill("4");
  assert.equal(await advice.innerText(), "");
  assert.match(await page.locator('[data-param="guidance"] .advice').innerText(), /made for guidance 0/);
  await page.done();
});

test("every parameter of the daemon has a field, within its range", async () => {
  const page = await openPage(service);
  const { parameters } = await (await fetch(`${service.url}zimg/v1/parameters`)).json();
  for (const title of ["More settings", "Start from an image"]) await page.locator("summary", { hasText: title }).click();
  await page.locator("#param-strength").waitFor();
  for (const { name, min, max, type } of parameters) {
    // This daemon has none; loras.test.mjs has them.
    if (name === "lora") continue;
    const field = page.locator(`#param-${name}`);
    assert.equal(await field.count(), 1, name);
    if (type === "integer" && name !== "seed") assert.deepEqual([await field.getAttribute("min"), await field.getAttribute("max")], [String(min), String(max)], name);
  }
  await page.done();
});

test("aspect ratio and megapixels set both sides", async () => {
  const page = await openPage(service);
  const sides = async () => [await page.locator("#param-width").inputValue(), await page.locator("#param-height").inputValue()];
  await page.getByRole("radio", { name: "1024 × 1024" }).check({ force: true });
  assert.deepEqual(await sides(), ["1024", "1024"]);
  await page.getByRole("radio", { name: "16:9", exact: true }).check({ force: true });
  assert.deepEqual(await sides(), ["1280", "720"]);
  await page.getByRole("radio", { name: "1024 × 576" }).check({ force: true });
  assert.deepEqual(await sides(), ["1024", "576"]);
  await page.getByRole("button", { name: "Swap width and height" }).click();
  assert.deepEqual(await sides(), ["576", "1024"]);
  assert.equal(await page.getByRole("radio", { name: "9:16", exact: true }).isChecked(), true);
  await page.done();
});
