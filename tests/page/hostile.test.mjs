// Texts of users and of the daemon are texts: no markup runs, and the policy allows none.

import assert from "node:assert/strict";
import { test } from "node:test";
import { generate, imageOf, openPage, withService } from "./harness.mjs";

const service = withService();

for (const prompt of ['"><img src=x onerror=alert(1)>', "<script>alert(1)</script>", "'; alert(1); //", "{prompt} {n} ${alert(1)}", "\u202eright to left\u202c", "a".repeat(600)]) {
  test(`a prompt is text: ${prompt.slice(0, 30)}`, async () => {
    const page = await openPage(service);
    const image = imageOf(page, await generate(page, { prompt, steps: 2 }));
    await image.waitFor();
    assert.equal(await page.locator("z-now .words").first().textContent(), prompt);
    await image.click();
    await page.locator("z-viewer aside .words", { hasText: prompt.slice(-20) }).waitFor();
    assert.equal(await page.locator("z-viewer aside .words").textContent(), prompt);
    assert.equal(await page.locator("img:not([src^='zimg/v1/images/']):not([src^='data:image/webp']):not(.preview)").count(), 0);
    await page.keyboard.press("Escape");
    await page.done();
  });
}

test("the fragment of a link is text, too", async () => {
  const page = await openPage(service, { hash: `#prompt=${encodeURIComponent('"><img src=x onerror=alert(1)>')}&__proto__=1&constructor=x&unknown=%00` });
  await page.waitForFunction(() => !location.hash);
  assert.equal(await page.locator("#param-prompt").inputValue(), '"><img src=x onerror=alert(1)>');
  await page.done();
});

test("the policy is in force: no inline script, style, frame or foreign request", async () => {
  const page = await openPage(service);
  const policy = (await (await fetch(service.url)).headers).get("content-security-policy");
  for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) assert.ok(policy.includes(rule), policy);
  const ran = await page.evaluate(() => {
    document.body.insertAdjacentHTML("beforeend", "<p onclick='window.ran = 1' style='color:red'>x</p>");
    const script = document.createElement("script");
    script.textContent = "window.ran = 1";
    document.body.append(script);
    document.body.lastElementChild?.previousElementSibling?.dispatchEvent(new MouseEvent("click"));
    return window.ran;
  });
  assert.equal(ran, undefined);
  page.expectErrors(/Content Security Policy|violates/);
  await page.done();
});
