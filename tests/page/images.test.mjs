// Images to start from: an initial image with a mask, and how much of it is drawn again.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { decoded, generate, imageOf, openPage, openSettings, Service, startBrowser } from "./harness.mjs";

let service, browser;
before(async () => {
  browser = await startBrowser();
  service = await Service.start();
});
after(async () => {
  await browser.close();
  await service.stop();
});

test("an image is generated from another, whose size it has, and where its mask is white", async () => {
  const page = await openPage(service);
  const first = await generate(page, { size: 128 });
  await decoded(imageOf(page, first));
  const file = (name, buffer) => ({ name, mimeType: "image/png", buffer });
  // As the page itself: the link has signed this browser in.
  const png = Buffer.from(await page.evaluate(async (path) => Array.from(new Uint8Array(await (await fetch(path)).arrayBuffer())), `/zimg/v1/images/${first}-1`));
  assert.deepEqual([...png.subarray(1, 4)], [...Buffer.from("PNG")]);
  await page.reload();
  await openSettings(page);
  await page.getByText("Start from an image").click();
  await page.getByLabel("Mask", { exact: true }).waitFor({ state: "attached" });
  await page.locator(".images input[type=file]").first().setInputFiles(file("first.png", png));
  await page.getByRole("img", { name: "first.png" }).waitFor();
  assert.equal(await page.locator("#param-strength").inputValue(), "0.6");
  await page.locator(".images input[type=file]").nth(1).setInputFiles(file("mask.png", png));
  await page.getByRole("img", { name: "mask.png" }).waitFor();
  // With a mask, all of it is drawn again unless it is said otherwise.
  assert.equal(await page.locator("#param-strength").inputValue(), "1");
  await page.locator("#param-strength").fill("0.5");
  const [sent] = await Promise.all([
    page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/zimg/v1/jobs")),
    page.locator("#param-prompt").fill("a blue square on a black background").then(() => page.locator("button.primary").click()),
  ]);
  const { params, images } = sent.postDataJSON();
  assert.equal(params.strength, 0.5);
  assert.deepEqual(images.map(({ role }) => role), ["initial", "mask"]);
  const answer = await (await sent.response()).json();
  assert.ok(answer.id, JSON.stringify(answer));
  const { id } = answer;
  await imageOf(page, id).waitFor();
  assert.deepEqual(await decoded(imageOf(page, id)), [128, 128]);
  await page.done();
});

test("without an image nothing is said of how much of it is drawn again", async () => {
  const page = await openPage(service);
  await openSettings(page);
  await page.evaluate(() => sessionStorage.setItem("draft", JSON.stringify({ values: { prompt: "a", strength: 0.4 }, lock: false, priority: "interactive" })));
  await page.reload();
  const [sent] = await Promise.all([
    page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/zimg/v1/jobs")),
    page.locator("#param-prompt").fill("a fox").then(() => page.locator("button.primary").click()),
  ]);
  assert.equal("strength" in sent.postDataJSON().params, false);
  await page.done();
});
