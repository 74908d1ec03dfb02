// Makes the images of the page for docs/web: node screenshots.mjs DIRECTORY. `all` as a second
// argument makes every width, theme and language.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { axe, finishedImage, generate, openPage, openSettings, preview, Service, startBrowser } from "./harness.mjs";

const [, , directory = ".", which = ""] = process.argv;
mkdirSync(directory, { recursive: true });
const browser = await startBrowser();
const service = await new Service().start();
const PROMPTS = ["a red circle on a white background", "a blue square left of a yellow circle", "three green triangles on a black background", "a purple star on a white background", "an orange square on a blue background", "two red triangles on a grey background"];

const first = await openPage(service);
for (const prompt of PROMPTS) {
  await generate(first, { prompt, steps: 12 });
  await finishedImage(first).and(first.locator(`[alt="${prompt}"]`)).waitFor();
}
await first.done();

/** One page in one state. */
async function shot(name, how, act = async () => undefined) {
  const page = await openPage(service, how);
  await finishedImage(page).first().waitFor();
  await act(page);
  await page.evaluate(() => Promise.all([...document.images].filter((image) => image.src).map((image) => image.decode().catch(() => undefined))));
  await page.screenshot({ path: join(directory, `${name}.png`) });
  const found = await axe(page);
  if (found.length) console.log(name, found);
  await page.done();
}

const view = async (page) => {
  await page.locator("z-now .tile").first().click();
  await page.locator("z-viewer aside").waitFor();
};
const running = async (page) => {
  await generate(page, { prompt: PROMPTS[1], steps: 100, size: 512 });
  await generate(page, { prompt: PROMPTS[2], steps: 100, size: 512 });
  await preview(page).waitFor();
  await page.waitForFunction(() => Number(document.querySelector("progress")?.getAttribute("value")) > 0.2);
};
const stop = async (page) => {
  const cards = page.locator("z-now article:has(button[title=Esc])");
  for (let left = await cards.count(); left > 0; left--) {
    await page.locator("z-now button[title=Esc]").first().click();
    await cards.nth(left - 1).waitFor({ state: "detached" });
  }
};

if (which === "all") {
  for (const [width, height] of [[360, 740], [768, 1024], [1440, 900]]) {
    for (const dark of [false, true]) {
      for (const locale of ["en-US", "zh-CN"]) {
        const how = { width, height, dark, locale };
        const name = `${width}-${dark ? "dark" : "light"}-${locale.slice(0, 2)}`;
        await shot(name, how);
        await shot(`${name}-settings`, how, openSettings);
        await shot(`${name}-view`, how, view);
      }
    }
  }
}
await shot("page", { width: 1280, height: 800 });
await shot("view", { width: 1280, height: 800, dark: true }, view);
await shot("phone", { width: 360, height: 740, locale: "zh-CN" });
await shot("running", { width: 1280, height: 800, dark: true }, async (page) => {
  await running(page);
  await page.screenshot({ path: join(directory, "running-now.png") });
  await stop(page);
});
await browser.close();
await service.stop();
