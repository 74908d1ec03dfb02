// LoRAs: what the daemon has, chosen with a weight each, and what is wrong with one.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { axe, imageOf, openPage, openSettings, pngOf, PROMPT, sentBy, withService } from "./harness.mjs";
import { writeLora } from "./lora-file.mjs";

const directory = mkdtempSync(join(tmpdir(), "zimg-loras-"));
const file = (name) => join(directory, `${name}.safetensors`);
mkdirSync(join(directory, "styles"));
writeLora(file("styles/ink"), { title: "Ink wash", words: ["inkwash", "rice paper"] });
writeLora(file("pixel"));
writeLora(file("narrow"), { width: 64 });
const service = withService({ daemon: ["--lora-dir", directory] });
after(() => rmSync(directory, { recursive: true }));

async function opened(how) {
  const page = await openPage(service, how);
  await openSettings(page);
  await page.locator("details.loras > summary").click();
  await page.locator("ul.loras li").first().waitFor();
  return page;
}

test("LoRAs are chosen, weighted and applied", async () => {
  const page = await opened();
  await page.locator("#param-seed").fill("5");
  for (const [name, value] of [["steps", 4], ["width", 128], ["height", 128]]) await page.locator(`#param-${name}`).fill(String(value));
  const images = [];
  const made = async () => {
    const { params, job } = await sentBy(page, PROMPT);
    await imageOf(page, job).waitFor();
    images.push(await pngOf(page, job));
    return params.lora;
  };
  assert.equal(await made(), undefined);
  await page.getByRole("checkbox", { name: /ink/ }).check();
  assert.equal(await made(), "styles/ink");
  const weight = page.getByRole("spinbutton", { name: "Weight of styles/ink" });
  await weight.fill("-0.5");
  await page.getByRole("checkbox", { name: /pixel/ }).check();
  assert.equal(await made(), "styles/ink:-0.5,pixel");
  assert.match(images[2].toString("latin1"), /<lora:styles\/ink:-0\.5><lora:pixel:1>|styles\/ink:-0\.5/);
  await page.getByRole("button", { name: "More: Weight of pixel" }).click();
  await page.getByRole("checkbox", { name: /ink/ }).uncheck();
  assert.equal(await made(), "pixel:1.1");
  await page.getByRole("checkbox", { name: /pixel/ }).uncheck();
  assert.equal(await made(), undefined);
  const pixels = await Promise.all(images.map((png) => page.evaluate(async (bytes) => {
    const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
    const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    pen.drawImage(bitmap, 0, 0);
    return String(pen.getImageData(0, 0, bitmap.width, bitmap.height).data);
  }, [...png])));
  assert.equal(new Set(pixels).size, 4);
  assert.equal(pixels[0], pixels[4], "without a LoRA as before");
  await page.done();
});

test("trigger words are put into the prompt, once", async () => {
  const page = await opened();
  await page.locator("#param-prompt").fill("a lighthouse");
  const word = page.getByRole("button", { name: "inkwash" });
  assert.equal(await word.isVisible(), false);
  await page.getByRole("checkbox", { name: /ink/ }).check();
  await word.click();
  await page.getByRole("button", { name: "rice paper" }).click();
  await word.click();
  assert.equal(await page.locator("#param-prompt").inputValue(), "a lighthouse, inkwash, rice paper");
  await page.done();
});

test("what is wrong with a LoRA stands there, and it cannot be chosen", async () => {
  const page = await opened();
  const broken = page.locator("li.broken");
  assert.match(await broken.innerText(), /narrow/);
  assert.match(await broken.locator(".problem").innerText(), /expected 240/);
  assert.equal(await broken.getByRole("checkbox").isDisabled(), true);
  // It stays when something else is typed.
  await page.locator("#param-prompt").fill("a fox");
  assert.match(await broken.locator(".problem").innerText(), /expected 240/);
  await page.done();
});

test("a LoRA of a link is chosen, by its short name too; one that is not there is told", async () => {
  const page = await openPage(service, { hash: "#prompt=a%20fox&lora=ink:0.4,gone" });
  await openSettings(page);
  await page.locator("ul.loras li").first().waitFor();
  assert.equal(await page.getByRole("checkbox", { name: /ink/ }).isChecked(), true);
  assert.equal(await page.getByRole("spinbutton", { name: "Weight of styles/ink" }).inputValue(), "0.4");
  await page.locator("li.missing", { hasText: "gone" }).waitFor();
  await sentBy(page);
  const failed = page.locator("z-now article.failed", { hasText: "gone" });
  await failed.getByRole("button", { name: "Dismiss" }).click();
  await failed.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Remove: gone" }).click();
  const { params, job } = await sentBy(page);
  assert.equal(params.lora, "ink:0.4");
  // The settings of the image bring it back.
  await imageOf(page, job).waitFor();
  await page.locator("z-now progress").waitFor({ state: "detached" });
  await page.getByRole("checkbox", { name: /ink/ }).uncheck();
  await page.getByRole("button", { name: "Use settings" }).click();
  await page.getByRole("checkbox", { name: /ink/, checked: true }).waitFor();
  await page.done();
});

test("a file that has come meanwhile is found by looking again", async () => {
  const page = await opened();
  writeLora(file("late"));
  await page.getByRole("button", { name: "Look again" }).click();
  await page.getByRole("checkbox", { name: /late/ }).waitFor();
  rmSync(file("late"));
  await page.done();
});

for (const [name, how] of [["English", {}], ["Chinese, dark, phone", { width: 360, height: 740, dark: true, locale: "zh-CN" }]]) {
  test(`axe finds nothing serious: ${name}`, async () => {
    const page = await opened(how);
    await page.getByRole("checkbox", { name: /ink/ }).check();
    assert.deepEqual(await axe(page), []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await page.done();
  });
}
