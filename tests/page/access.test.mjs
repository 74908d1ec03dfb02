// The page for everyone: keyboard alone, phones, themes, languages, screen readers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { axe, decoded, generate, imageOf, openPage, openSettings, PROMPT, withService } from "./harness.mjs";

const service = withService();

test("the keyboard alone generates, opens, zooms, steps through and closes", async () => {
  const page = await openPage(service);
  const generated = async (text) => {
    await page.keyboard.press("/");
    await page.keyboard.press("Control+A");
    await page.keyboard.type(text);
    await page.keyboard.press("Control+Enter");
    await page.locator("z-now .tile:not(.blank)", { has: page.locator(`img[alt="${text}"]`) }).waitFor();
    await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).blur());
  };
  await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).blur());
  await generated(PROMPT);
  await generated("a blue square on a black background");
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement?.querySelector("img")?.alt), "a blue square on a black background");
  await page.keyboard.press("Enter");
  const dialog = page.locator("z-viewer dialog");
  await dialog.waitFor();
  await page.keyboard.press("j");
  assert.equal(await dialog.locator(".view img").getAttribute("alt"), PROMPT);
  await page.keyboard.press("+");
  await dialog.locator(".view.zoomed").waitFor();
  await page.keyboard.press("0");
  await dialog.locator(".view:not(.zoomed)").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  // The event that the dialog has closed comes after that.
  await page.waitForFunction((alt) => document.activeElement?.querySelector("img")?.alt === alt, PROMPT);
  await page.keyboard.press("?");
  await page.getByRole("heading", { name: "Keyboard shortcuts" }).waitFor();
  await page.keyboard.press("Escape");
  // ↑ brings the earlier prompts.
  await page.keyboard.press("/");
  await page.keyboard.press("Control+A");
  await page.keyboard.press("Delete");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  assert.equal(await page.locator("#param-prompt").inputValue(), PROMPT);
  await page.done();
});

test("shortcuts of one letter do nothing while text is typed", async () => {
  const page = await openPage(service);
  await page.locator("#param-prompt").fill("");
  await page.locator("#param-prompt").pressSequentially("jk?/+0d");
  assert.equal(await page.locator("#param-prompt").inputValue(), "jk?/+0d");
  assert.equal(await page.locator("dialog[open]").count(), 0);
  await page.done();
});

const variants = [
  { name: "desktop, light, English", width: 1440, height: 900 },
  { name: "desktop, dark, Chinese", width: 1440, height: 900, dark: true, locale: "zh-CN" },
  { name: "tablet, light, Chinese", width: 768, height: 1024, locale: "zh-CN" },
  { name: "phone, light, English", width: 360, height: 740 },
  { name: "phone, dark, Chinese", width: 360, height: 740, dark: true, locale: "zh-CN" },
];
for (const { name, ...how } of variants) {
  test(`axe finds nothing serious: ${name}`, async () => {
    const page = await openPage(service, how);
    const found = {};
    found.start = await axe(page);
    await openSettings(page);
    await page.locator("details.rare > summary").click();
    await page.locator("details.fold > summary").click();
    await page.locator("#param-negative").fill("x");
    found.settings = await axe(page);
    const image = imageOf(page, await generate(page));
    await image.waitFor();
    await page.locator("z-now progress").waitFor({ state: "detached" });
    found.image = await axe(page);
    await image.click();
    await page.locator("z-viewer aside").waitFor();
    found.viewer = await axe(page);
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.locator(".help-dialog").waitFor();
    found.help = await axe(page);
    assert.deepEqual(found, { start: [], settings: [], image: [], viewer: [], help: [] });
    await page.done();
  });
}

test("a phone has no sideways scrolling, the prompt is in the lower half, targets are large", async () => {
  const page = await openPage(service, { width: 360, height: 740, context: { hasTouch: true, isMobile: true } });
  const image = imageOf(page, await generate(page));
  await image.waitFor();
  assert.deepEqual(await decoded(image), [256, 256]);
  const measured = await page.evaluate(() => ({
    overflow: document.documentElement.scrollWidth - innerWidth,
    prompt: document.getElementById("param-prompt").getBoundingClientRect().top / innerHeight,
    small: [...document.querySelectorAll("button, a")].filter((one) => one.getClientRects().length && one.getBoundingClientRect().height < 24).length,
  }));
  assert.ok(measured.overflow <= 0 && measured.prompt > 0.5 && measured.small === 0, JSON.stringify(measured));
  // With the keyboard up the prompt and the button stay in sight.
  await page.setViewportSize({ width: 360, height: 380 });
  for (const name of ["#param-prompt", "button.primary"]) {
    const box = await page.locator(name).boundingBox();
    assert.ok(box && box.y >= 0 && box.y + box.height <= 380, name);
  }
  await page.done();
});

test("the theme follows the system and the switch, and stays after a reload", async () => {
  const page = await openPage(service, { dark: true });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.getByRole("button", { name: "Theme: as the system" }).click();
  const light = await ground();
  assert.notEqual(light, dark);
  await page.reload();
  await page.locator("z-form form").waitFor();
  assert.equal(await ground(), light);
  await page.done();
});

test("the language follows the browser and the switch, and what was typed stays", async () => {
  const page = await openPage(service, { locale: "zh-CN" });
  await page.getByRole("button", { name: "生成", exact: true }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-Hans");
  await page.locator("#param-prompt").fill("一个红色的圆");
  await page.getByRole("button", { name: "EN", exact: true }).click();
  await page.getByRole("button", { name: "Generate" }).waitFor();
  assert.equal(await page.locator("#param-prompt").inputValue(), "一个红色的圆");
  await page.done();
});

test("progress is said to screen readers at most every five seconds, the end at once", async () => {
  const page = await openPage(service);
  await page.evaluate(() => {
    const line = document.querySelector('[aria-live="polite"].hidden');
    window.said = [];
    new MutationObserver(() => window.said.push([Date.now(), line.textContent])).observe(line, { childList: true, characterData: true, subtree: true });
  });
  await imageOf(page, await generate(page, { steps: 24 })).waitFor();
  await page.waitForFunction(() => window.said.some(([, text]) => text === "The image is there."));
  const said = await page.evaluate(() => window.said);
  const progress = said.filter(([, text]) => /Step|Reads|queue ·/.test(text));
  assert.ok(progress.every(([at], index) => index === 0 || at - progress[index - 1][0] >= 4900), JSON.stringify(said));
  await page.done();
});

test("nothing moves for users who want less motion", async () => {
  const page = await openPage(service, { reducedMotion: "reduce" });
  const moving = await page.evaluate(() => [...document.querySelectorAll("*")].filter((one) => {
    const { animationName, transitionDuration } = getComputedStyle(one);
    return animationName !== "none" || transitionDuration !== "0s";
  }).length);
  assert.equal(moving, 0);
  await page.done();
});
