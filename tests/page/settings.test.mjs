// Settings that come back: dropped images, pasted text, links, "again with…", downloads.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { browser, decoded, finishedImage, generate, imageOf, openPage, PROMPT, repository, withService } from "./harness.mjs";

const service = withService();

const fixtures = join(repository, "tests/fixtures/metadata/programs");

/** Drops a file on the page as the browser would. */
async function drop(page, path, type = "image/png") {
  const data = readFileSync(path).toString("base64");
  await page.evaluate(async ({ data, name, type }) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type }));
    for (const event of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(new DragEvent(event, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, { data, name: basename(path), type });
}

/** Copies a text and pastes it into the prompt. */
async function paste(page, text) {
  await page.evaluate((text) => navigator.clipboard.writeText(text), text);
  await page.locator("#param-prompt").focus();
  await page.keyboard.press("Control+V");
}

const notice = (page) => page.locator(".notice");
const field = (page, name) => page.locator(`#param-${name}`).inputValue();

for (const [file, type, program] of [["zimg-0.1.png", "image/png", /zimg/], ["a1111.png", "image/png", /A1111|AUTOMATIC1111/i], ["comfyui.png", "image/png", /ComfyUI/], ["swarmui.png", "image/png", /SwarmUI/], ["invokeai.png", "image/png", /InvokeAI/], ["a1111.webp", "image/webp", /A1111|AUTOMATIC1111/i], ["zimg-0.1.jpg", "image/jpeg", /zimg/]]) {
  test(`${file} is dropped: its settings are in the form`, async () => {
    const page = await openPage(service);
    await page.locator("#param-prompt").fill("what was there");
    await drop(page, join(fixtures, file), type);
    await notice(page).filter({ hasText: file }).waitFor();
    assert.match(await notice(page).innerText(), program);
    assert.notEqual(await field(page, "prompt"), "what was there");
    assert.match(await field(page, "seed"), /^\d+$/);
    await page.getByRole("button", { name: "Undo" }).click();
    assert.equal(await field(page, "prompt"), "what was there");
    await page.done();
  });
}

test("a file without settings is told in place, and the form stays", async () => {
  const page = await openPage(service);
  await page.locator("#param-prompt").fill("what was there");
  await drop(page, join(repository, "docs/tiny-model.png"));
  await notice(page).locator("p").filter({ hasText: /./ }).waitFor();
  assert.equal(await field(page, "prompt"), "what was there");
  page.expectErrors(/422/);
  await page.done();
});

test("A1111's copied text becomes settings, other text stays a prompt", async () => {
  const page = await openPage(service);
  await paste(page, "a castle in the clouds\nNegative prompt: blurry, text\nSteps: 12, Sampler: Euler, CFG scale: 3.5, Seed: 18446744073709551615, Size: 832x1248");
  await notice(page).locator("p").filter({ hasText: /./ }).waitFor();
  assert.deepEqual(await Promise.all(["prompt", "negative", "steps", "guidance", "seed", "width", "height"].map((name) => field(page, name))),
    ["a castle in the clouds", "blurry, text", "12", "2.5", "18446744073709551615", "832", "1248"]);
  await page.locator("#param-prompt").fill("");
  await paste(page, "Steps: up the stairs, a painting");
  assert.equal(await field(page, "prompt"), "Steps: up the stairs, a painting");
  await page.done();
});

test("a link brings its settings, and is copied with them", async () => {
  const page = await openPage(service, { hash: "#prompt=a%20fox%20%26%20a%20hen&steps=6&seed=18446744073709551615&width=512" });
  await page.waitForFunction(() => !location.hash);
  assert.deepEqual(await Promise.all(["prompt", "steps", "seed", "width"].map((name) => field(page, name))), ["a fox & a hen", "6", "18446744073709551615", "512"]);
  await page.getByRole("button", { name: "Copy a link with these settings" }).click();
  await page.locator("[data-done]").waitFor();
  const link = new URL(await page.evaluate(() => navigator.clipboard.readText()));
  assert.equal(new URLSearchParams(link.hash.slice(1)).get("prompt"), "a fox & a hen");
  const again = await openPage(service, { hash: link.hash });
  await again.waitForFunction(() => !location.hash);
  assert.equal(await field(again, "seed"), "18446744073709551615");
  await page.done();
  await again.done();
});

test("the full view shows every setting, downloads with them, and gives them back", async () => {
  const page = await openPage(service);
  await page.locator("#param-seed").fill("7");
  const image = imageOf(page, await generate(page, { steps: 5 }));
  await image.waitFor();
  await image.click();
  const settings = await page.locator("z-viewer dl").innerText();
  for (const pattern of [/Width\s+256/, /Height\s+256/, /Steps\s+5/, /Seed\s+7/, /Guidance\s+0/]) assert.match(settings, pattern);
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("z-viewer a", { hasText: "PNG" }).click()]);
  const file = readFileSync(await download.path());
  assert.equal(file.subarray(1, 4).toString("latin1"), "PNG");
  assert.match(download.suggestedFilename(), /red.*circle.*7.*\.png$/);
  assert.match(file.toString("latin1"), new RegExp(PROMPT));
  await page.getByRole("button", { name: "these settings", exact: true }).click();
  assert.deepEqual(await Promise.all(["prompt", "steps", "seed"].map((name) => field(page, name))), [PROMPT, "5", "7"]);
  // The downloaded file, dropped, is the same once more.
  await page.locator("#param-prompt").fill("");
  await drop(page, await download.path());
  await notice(page).filter({ hasText: "zimg" }).waitFor();
  assert.deepEqual(await Promise.all(["prompt", "steps", "seed"].map((name) => field(page, name))), [PROMPT, "5", "7"]);
  await page.done();
});

test("an image is copied as PNG, its settings as text, and a new seed generates at once", async () => {
  const page = await openPage(service);
  const image = imageOf(page, await generate(page));
  await image.waitFor();
  await image.click();
  const dialog = page.locator("z-viewer dialog");
  await dialog.getByRole("button", { name: "Image", exact: true }).click();
  await page.locator('[data-done="Image copied"]').waitFor();
  assert.deepEqual(await page.evaluate(async () => (await navigator.clipboard.read())[0].types), ["image/png"]);
  await dialog.getByRole("button", { name: "Settings", exact: true }).click();
  await page.locator('[data-done="Settings copied"]').waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), new RegExp(`^${PROMPT}\n`));
  const seed = /Seed\s+(\d+)/.exec(await dialog.locator("dl").innerText())?.[1];
  await dialog.getByRole("button", { name: "a new seed" }).click();
  await dialog.waitFor({ state: "hidden" });
  await page.locator("z-now progress").waitFor({ state: "detached" });
  await finishedImage(page).click();
  assert.notEqual(/Seed\s+(\d+)/.exec(await dialog.locator("dl").innerText())?.[1], seed);
  assert.deepEqual(await decoded(page.locator("z-viewer .view img")), [256, 256]);
  await page.done();
});

test("the lock repeats the last seed", async () => {
  const page = await openPage(service);
  await imageOf(page, await generate(page)).waitFor();
  await page.getByRole("button", { name: "Keep the last seed" }).click();
  const seed = await field(page, "seed");
  assert.match(seed, /^\d+$/);
  await page.getByRole("button", { name: "Roll a seed" }).click();
  assert.notEqual(await field(page, "seed"), seed);
  await page.locator('button[aria-pressed="true"]').click();
  assert.equal(await field(page, "seed"), "");
  await page.done();
});
