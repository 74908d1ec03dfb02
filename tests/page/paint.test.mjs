// Painting a mask over the initial image: with mouse, keyboard and finger; what it is sent as and does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { axe, colours, generate, imageOf, openPage, openSettings, pngOf, sentBy, withService } from "./harness.mjs";

const service = withService();
const BLUE = "a blue square on a black background";
const WHITE = [255, 255, 255], BLACK = [0, 0, 0];

/** A page with an image chosen as the initial one, and the dialog for its mask. */
async function painting(how) {
  const page = await openPage(service, how);
  const first = await generate(page, { size: 128, steps: 4 });
  await imageOf(page, first).waitFor();
  const png = await pngOf(page, first);
  await page.reload();
  await openSettings(page);
  await page.locator("details.images > summary").click();
  await page.locator(".images input[type=file]").first().setInputFiles({ name: "first.png", mimeType: "image/png", buffer: png });
  await page.locator(".paint-mask").click();
  const canvas = page.locator("dialog.paint canvas");
  await canvas.waitFor();
  return { page, canvas, png };
}

/** Places of the canvas on the screen. */
async function at(canvas, ...places) {
  const box = await canvas.boundingBox();
  return places.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
}

async function stroke(page, canvas, ...places) {
  const [first, ...rest] = await at(canvas, ...places);
  await page.mouse.move(...first);
  await page.mouse.down();
  for (const place of rest) await page.mouse.move(...place, { steps: 8 });
  await page.mouse.up();
}

const done = (page) => page.locator("dialog.paint .primary").click();
const maskOf = ({ images }) => images.find(({ role }) => role === "mask");

test("what is painted is white in the mask and new in the image, the rest stays", async () => {
  const { page, canvas, png } = await painting();
  await stroke(page, canvas, [0.2, 0.2], [0.3, 0.2], [0.3, 0.3], [0.2, 0.3], [0.2, 0.2]);
  await done(page);
  await page.getByRole("img", { name: "painted mask" }).waitFor();
  const sent = await sentBy(page, BLUE);
  assert.deepEqual(sent.images.map(({ role }) => role), ["initial", "mask"]);
  assert.equal(Buffer.from(sent.images[0].data, "base64").equals(png), true);
  const mask = await colours(page, maskOf(sent).data, [[0.2, 0.2], [0.3, 0.3], [0.7, 0.7], [0.05, 0.9]]);
  assert.deepEqual(mask, { width: 128, height: 128, colours: [WHITE, WHITE, BLACK, BLACK] });
  await imageOf(page, sent.job).waitFor();
  await page.locator("z-now progress").waitFor({ state: "detached" });
  const made = (await pngOf(page, sent.job)).toString("base64");
  const places = [[0.25, 0.25], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]];
  const [before, after] = [await colours(page, png.toString("base64"), places), await colours(page, made, places)];
  const distances = before.colours.map((colour, at) => Math.max(...colour.map((value, of) => Math.abs(value - after.colours[at][of]))));
  assert.ok(distances[0] > 40 && distances.slice(1).every((distance) => distance < 30), JSON.stringify({ before, after }));
  await page.done();
});

test("the eraser takes paint away, undo brings it back, and clear and undo, too", async () => {
  const { page, canvas } = await painting();
  const dialog = page.locator("dialog.paint");
  const isPainted = async (...place) => canvas.evaluate((canvas, [x, y]) => canvas.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3] > 0, place);
  await dialog.getByLabel("Brush size").fill("20");
  await stroke(page, canvas, [0.2, 0.5], [0.8, 0.5]);
  await dialog.getByRole("button", { name: "Erase" }).click();
  await stroke(page, canvas, [0.5, 0.3], [0.5, 0.7]);
  assert.deepEqual([await isPainted(0.3, 0.5), await isPainted(0.5, 0.5)], [true, false]);
  await dialog.getByRole("button", { name: "Undo" }).click();
  assert.equal(await isPainted(0.5, 0.5), true);
  await dialog.getByRole("button", { name: "Clear" }).click();
  assert.equal(await isPainted(0.3, 0.5), false);
  await page.keyboard.press("Control+z");
  assert.equal(await isPainted(0.3, 0.5), true);
  // Escape loses nothing; the strokes are there again, and can be undone after that, too.
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Edit the mask" }).click();
  await canvas.waitFor();
  assert.equal(await isPainted(0.3, 0.5), true);
  await dialog.getByRole("button", { name: "Undo" }).click();
  assert.equal(await dialog.getByRole("button", { name: "Undo" }).isDisabled(), true);
  await done(page);
  // Nothing is painted: there is no mask.
  await page.getByRole("button", { name: "Paint a mask" }).waitFor();
  assert.equal(await page.getByRole("img", { name: "painted mask" }).count(), 0);
  await page.done();
});

test("the keyboard alone paints, and brushes have sizes", async () => {
  const { page } = await painting();
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), "CANVAS");
  for (let times = 0; times < 20; times++) await page.keyboard.press("]");
  // From the middle to the left edge, with a brush of half the image.
  for (const key of ["ArrowLeft", "Shift+ArrowLeft", "Space", "e", "ArrowRight"]) await page.keyboard.press(key);
  await page.keyboard.press("Escape");
  await page.locator(".paint-mask:focus").waitFor();
  const sent = await sentBy(page, BLUE);
  const mask = await colours(page, maskOf(sent).data, [[0.05, 0.5], [0.4, 0.5], [0.9, 0.5], [0.05, 0.05]]);
  assert.deepEqual(mask.colours, [WHITE, WHITE, BLACK, BLACK]);
  await page.done();
});

test("a finger paints on a phone, whose buttons are all in sight", async () => {
  const { page, canvas } = await painting({ width: 360, height: 640, context: { hasTouch: true, isMobile: true } });
  const session = await page.context().newCDPSession(page);
  const touch = async (type, places) => session.send("Input.dispatchTouchEvent", { type, touchPoints: places.map(([x, y]) => ({ x, y })) });
  const path = await at(canvas, [0.3, 0.5], [0.4, 0.5], [0.5, 0.5], [0.6, 0.5], [0.7, 0.5]);
  await touch("touchStart", [path[0]]);
  for (const place of path) await touch("touchMove", [place]);
  await touch("touchEnd", []);
  const dialog = page.locator("dialog.paint");
  for (const button of await dialog.getByRole("button").all()) {
    const box = await button.boundingBox();
    assert.ok(box && box.x >= 0 && box.x + box.width <= 360 && box.y >= 0 && box.y + box.height <= 640 && box.height >= 24, await button.innerText());
  }
  const box = await canvas.boundingBox();
  assert.ok(box && box.width > 300 && box.x >= 0 && box.x + box.width <= 360, JSON.stringify(box));
  await done(page);
  const sent = await sentBy(page, BLUE);
  const mask = await colours(page, maskOf(sent).data, [[0.3, 0.5], [0.5, 0.5], [0.7, 0.5], [0.5, 0.9]]);
  assert.deepEqual(mask.colours, [WHITE, WHITE, WHITE, BLACK]);
  await page.done();
});

test("a mask from a file can be painted on, inverted or not; another image takes what was painted away", async () => {
  const { page, canvas, png } = await painting();
  await page.keyboard.press("Escape");
  // The left half is white.
  const half = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(64, 64), pen = canvas.getContext("2d");
    pen.fillRect(0, 0, 64, 64);
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, 32, 64);
    return Array.from(new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer()));
  });
  await page.locator(".images input[type=file]").nth(1).setInputFiles({ name: "half.png", mimeType: "image/png", buffer: Buffer.from(half) });
  await page.getByLabel("Black may change instead of white").check();
  await page.getByRole("button", { name: "Edit the mask" }).click();
  await canvas.waitFor();
  await stroke(page, canvas, [0.25, 0.5]);
  await done(page);
  await page.getByRole("img", { name: "painted mask" }).waitFor();
  const sent = await sentBy(page, BLUE);
  const mask = await colours(page, maskOf(sent).data, [[0.75, 0.5], [0.25, 0.5], [0.1, 0.1]]);
  assert.deepEqual(mask, { width: 128, height: 128, colours: [WHITE, WHITE, BLACK] });
  assert.equal(maskOf(sent).invert, undefined);
  await page.locator(".images input[type=file]").first().setInputFiles({ name: "second.png", mimeType: "image/png", buffer: png });
  await page.getByRole("img", { name: "second.png" }).waitFor();
  assert.equal(await page.getByRole("img", { name: "painted mask" }).count(), 0);
  await page.done();
});

for (const [name, how] of [["light, English", {}], ["dark, Chinese, phone", { width: 360, height: 740, dark: true, locale: "zh-CN" }]]) {
  test(`axe finds nothing serious: ${name}`, async () => {
    const { page, canvas } = await painting(how);
    await stroke(page, canvas, [0.4, 0.4], [0.6, 0.6]);
    const found = { painting: await axe(page) };
    await done(page);
    await page.locator(".images .fold > summary").click();
    found.fields = await axe(page);
    assert.deepEqual(found, { painting: [], fields: [] });
    await page.done();
  });
}
