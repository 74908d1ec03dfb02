// How much the browser loads before the first image.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, finishedImage, generate, openPage, withService } from "./harness.mjs";

const service = withService();

for (const locale of ["en-US", "zh-CN"]) {
  test(`at most 60 KB before the first image: ${locale}`, async () => {
    const first = await openPage(service);
    await generate(first);
    await finishedImage(first).first().waitFor();
    await first.done();
    const page = await openPage(service, { locale });
    await finishedImage(page).first().waitFor();
    await page.done();
    // A second visit: what is asked for before the first image is asked for.
    const context = await browser.newContext({ locale });
    const visit = await context.newPage();
    const asked = [];
    let open = true;
    visit.on("request", (request) => {
      if (request.url().includes("/zimg/v1/images/")) open = false;
      if (open && !request.url().includes("/zimg/v1/")) asked.push(request);
    });
    await visit.goto(service.url);
    await finishedImage(visit).first().waitFor();
    const sizes = await Promise.all(asked.map(async (request) => [new URL(request.url()).pathname, (await (await request.response()).body()).length]));
    const sum = sizes.reduce((sum, [, bytes]) => sum + bytes, 0);
    assert.ok(sum > 20000 && sum <= 60 * 1024, `${sum} bytes: ${JSON.stringify(sizes)}`);
    await context.close();
  });
}
