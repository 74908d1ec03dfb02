// Signing in: with a key, and with the link of `zimg web`.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { axe, browser, openPage, programs, Service, withBrowser } from "./harness.mjs";

withBrowser();

test("a key signs in, for reloads and restarts too; a wrong one is told in place", async () => {
  const directory = mkdtempSync(join(tmpdir(), "zimg-keys-"));
  const keys = join(directory, "keys");
  const made = spawnSync(join(programs, "zimg-web"), ["--keys", keys, "--new-key", "ann"], { encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  const service = await new Service({ front: ["--keys", keys] }).start();
  const page = await openPage(service, { outages: true, complete: false });
  const key = page.locator("#key");
  await key.waitFor();
  assert.deepEqual(await axe(page), []);
  await key.fill("wrong");
  await page.keyboard.press("Enter");
  await page.locator("dialog .error").filter({ hasText: "not known" }).waitFor();
  await key.fill(made.stdout.trim());
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "What would you like to see?" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "What would you like to see?" }).waitFor();
  await service.restart("front");
  await page.locator('z-status:not([data-state="bad"])').waitFor();
  assert.equal(await page.locator("dialog[open]").count(), 0);
  // The key is in no storage that scripts read.
  assert.equal(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage }) + JSON.stringify({ ...sessionStorage })).then((all) => all.includes(made.stdout.trim())), false);
  page.expectErrors(/401/);
  await page.done();
  await service.stop();
  rmSync(directory, { recursive: true });
});

test("the link signs one browser in once, and leaves no token in the address bar", async () => {
  const service = await new Service({ front: ["--link"] }).start();
  const link = service.front.out.trim();
  assert.match(link, /#token=/);
  const page = await openPage(service, { hash: new URL(link).hash });
  await page.getByRole("heading", { name: "What would you like to see?" }).waitFor();
  assert.equal(new URL(page.url()).hash, "");
  await page.reload();
  await page.getByRole("heading", { name: "What would you like to see?" }).waitFor();
  const other = await openPage(service, { hash: new URL(link).hash, complete: false });
  await other.getByRole("heading", { name: "This link has been used" }).waitFor();
  other.expectErrors(/401/);
  await other.done();
  await page.done();
  await service.stop();
});
