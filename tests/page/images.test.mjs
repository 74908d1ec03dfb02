// Images to start from: files or images of the gallery, a mask, what is added, and how much is drawn again.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decoded, generate, imageOf, openPage, openSettings, pngOf, sentBy, withService } from "./harness.mjs";

const service = withService();

test("an image is generated from another, whose size it has, and where its mask is white", async () => {
  const page = await openPage(service);
  const first = await generate(page, { size: 128 });
  await decoded(imageOf(page, first));
  const file = (name, buffer) => ({ name, mimeType: "image/png", buffer });
  const png = await pngOf(page, first);
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
  const { params, images, job } = await sentBy(page, "a blue square on a black background");
  assert.equal(params.strength, 0.5);
  assert.deepEqual(images.map(({ role, name }) => [role, name]), [["initial", "first.png"], ["mask", "mask.png"]]);
  await imageOf(page, job).waitFor();
  assert.deepEqual(await decoded(imageOf(page, job)), [128, 128]);
  // The names are in the image's metadata, as those of zimg.
  assert.match((await pngOf(page, job)).toString("latin1"), /image_inputs.*first\.png.*mask\.png/s);
  await page.done();
});

test("without an image nothing is said of how much of it is drawn again", async () => {
  const page = await openPage(service);
  await openSettings(page);
  await page.evaluate(() => sessionStorage.setItem("draft", JSON.stringify({ values: { prompt: "a", strength: 0.4 }, lock: false, priority: "interactive" })));
  await page.reload();
  assert.equal("strength" in (await sentBy(page, "a fox")).params, false);
  await page.done();
});

test("an image of the gallery is started from, painted beyond its edges, and all of that again", async () => {
  const page = await openPage(service);
  const first = await generate(page, { size: 128, steps: 4 });
  await imageOf(page, first).click();
  await page.getByRole("button", { name: "this as a start" }).click();
  await page.getByRole("img", { name: `${first}-1.png` }).waitFor();
  assert.match(await page.locator(".notice").innerText(), /starts from/);
  // The image's own size, with what is added.
  for (const name of ["width", "height"]) await page.locator(`#param-${name}`).fill("");
  await page.locator(".images .fold > summary").click();
  await page.getByRole("spinbutton", { name: "Left" }).fill("64");
  assert.equal(await page.locator("#param-strength").inputValue(), "1");
  await page.getByRole("combobox", { name: "Another shape" }).selectOption("pad");
  const wide = await sentBy(page);
  assert.deepEqual(wide.images.map(({ role, fit, margins }) => [role, fit, margins]), [["initial", "pad", [64, 0, 0, 0]]]);
  await imageOf(page, wide.job).waitFor();
  assert.deepEqual(await decoded(imageOf(page, wide.job)), [192, 128]);
  await page.locator("z-now progress").waitFor({ state: "detached" });
  // A new seed, from the same image.
  await page.getByRole("button", { name: "Remove: Image" }).click();
  const request = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/zimg/v1/jobs"));
  await page.getByRole("button", { name: "Again, new seed" }).click();
  const again = (await request).postDataJSON();
  assert.deepEqual(again.images, wide.images);
  const { id } = await (await (await request).response()).json();
  await imageOf(page, id).waitFor();
  await page.locator("z-now progress").waitFor({ state: "detached" });
  // The settings bring the image back, and Undo takes it away.
  await page.getByRole("button", { name: "Use settings" }).click();
  await page.getByRole("img", { name: `${first}-1.png` }).waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByRole("img", { name: `${first}-1.png` }).waitFor({ state: "detached" });
  // Another page has not the image: it says so, and generates nothing without it.
  await page.reload();
  await page.getByRole("button", { name: "Again, new seed" }).click();
  await page.locator(".notice", { hasText: "is not here" }).waitFor();
  await page.done();
});

test("a file that is no image is told at its field", async () => {
  const page = await openPage(service);
  await openSettings(page);
  await page.getByText("Start from an image").click();
  await page.locator(".images input[type=file]").first().setInputFiles({ name: "no.png", mimeType: "image/png", buffer: Buffer.from("no image") });
  await page.locator("#param-prompt").fill("a fox");
  await page.locator("button.primary").click();
  await page.locator('[data-param="image"] .error', { hasText: "image" }).waitFor();
  page.expectErrors(/400/);
  await page.done();
});
