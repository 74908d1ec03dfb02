// Programs under test and a browser; every page is watched for errors and foreign requests.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, afterEach, before, beforeEach } from "node:test";
import { fileURLToPath } from "node:url";

const NODE_MODULES = process.env.PAGE_MODULES ?? new URL("./node_modules/", import.meta.url).pathname;
const { chromium } = await import(join(NODE_MODULES, "playwright-core/index.mjs"));

const here = fileURLToPath(new URL(".", import.meta.url));
export const repository = resolve(here, "../..");
export const programs = process.env.ZIMG_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(repository, "target"), "debug");
const axeSource = readFileSync(join(NODE_MODULES, "axe-core/axe.min.js"), "utf8");

/** A prompt that the built-in model can do. */
export const PROMPT = "a red circle on a white background";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Tries a question until it is answered truly; the programs' own start is the event. */
async function until(question, what) {
  for (const began = Date.now(); Date.now() - began < 60000; ) {
    if (await question().catch(() => false)) return;
    await new Promise((next) => setTimeout(next, 20));
  }
  throw new Error(`${what} took more than 60 s`);
}

/** A daemon with the built-in model and a front, on a private socket, port and state. */
export class Service {
  /** @param {{ front?: string[], daemon?: string[] }} options further ones of the programs */
  constructor(options = {}) {
    this.options = { front: [], daemon: [], ...options };
  }

  async start() {
    this.directory = mkdtempSync(join(tmpdir(), "zimg-page-"));
    this.socket = join(this.directory, "zimaged.sock");
    this.port = await freePort();
    this.url = `http://127.0.0.1:${this.port}/`;
    writeFileSync(join(this.directory, "zimaged.toml"), "");
    await this.startDaemon();
    await this.startFront();
    return this;
  }

  run(program, options) {
    const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(ZIMG|ZIMAGED)_/.test(name)));
    const child = spawn(join(programs, program), options, { env: { ...environment, ZIMG_CONFIG: "" }, stdio: ["ignore", "pipe", "pipe"] });
    child.log = child.out = "";
    child.stdout.on("data", (text) => (child.out += text));
    child.stderr.on("data", (text) => (child.log += text));
    return child;
  }

  async startDaemon() {
    const { directory, socket } = this;
    this.daemon = this.run("zimaged", ["--config", join(directory, "zimaged.toml"), "--socket", socket, "--state-dir", join(directory, "state"), "--model", "tiny", "--device", "cpu", ...this.options.daemon]);
  }

  async startFront() {
    this.front = this.run("zimg-web", ["--listen", `127.0.0.1:${this.port}`, "--socket", this.socket, "--state-dir", join(this.directory, "web"), ...this.options.front]);
    await until(async () => {
      assert.equal(this.front.exitCode, null, this.front.log);
      return (await fetch(`${this.url}healthz`)).ok;
    }, "zimg-web's start");
  }

  async end(program, signal) {
    const child = this[program];
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  /** Ends the program and starts it again. */
  async restart(program, signal = "SIGTERM") {
    await this.end(program, signal);
    await (program === "front" ? this.startFront() : this.startDaemon());
  }

  async stop() {
    await this.end("front", "SIGTERM");
    await this.end("daemon", "SIGTERM");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export let browser;
export async function startBrowser() {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
  return browser;
}

/** A browser for the tests of a file. */
export function withBrowser() {
  before(startBrowser);
  after(() => browser.close());
}

/** A browser and a service for the tests of a file; with `each` a new service for each test. @param {{ each?: boolean, front?: string[], daemon?: string[] }} how */
export function withService({ each = false, ...options } = {}) {
  withBrowser();
  const service = new Service(options);
  (each ? beforeEach : before)(() => service.start());
  (each ? afterEach : after)(() => service.stop());
  return service;
}

/**
 * A page in a context of its own. `close()` checks what every page must have: no error in the
 * console, and no request to another host.
 */
export async function openPage(service, { width = 1280, height = 860, dark = false, locale = "en-US", hash = "", reducedMotion = "no-preference", outages = false, complete = true, script, context: more = {} } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", locale, reducedMotion, ...more });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: service.url });
  if (script) await context.addInitScript(script);
  const page = await context.newPage();
  // A busy machine takes seconds for an image.
  page.setDefaultTimeout(90000);
  const errors = [];
  const isOutage = (text) => outages && /Failed to load resource|ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY/.test(text);
  // A job can be cancelled between its event and the question for it.
  const isGone = (text, url) => / 404 /.test(text) && /\/zimg\/v1\/jobs\/\d+$/.test(url);
  page.on("console", (message) => message.type() === "error" && !isOutage(message.text()) && !isGone(message.text(), message.location().url) && errors.push(`${message.text()} ${message.location().url}`));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => /^(data|blob):/.test(request.url()) || request.url().startsWith(service.url) || errors.push(`a request to ${request.url()}`));
  page.on("dialog", (dialog) => {
    errors.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.expectErrors = (pattern) => {
    const rest = errors.filter((text) => !pattern.test(text));
    errors.length = 0;
    errors.push(...rest);
  };
  page.done = async () => {
    await context.close();
    assert.deepEqual(errors, []);
  };
  await page.goto(service.url + hash);
  await page.locator(complete ? "body[data-complete] z-form form" : "z-form form").waitFor();
  return page;
}

/** Types a prompt, takes a number of steps (more steps: a longer job), generates, and returns the job's id, if it has one. */
export async function generate(page, { prompt = PROMPT, steps, size, count } = {}) {
  await page.locator("#param-prompt").fill(prompt);
  await openSettings(page);
  if (steps) await page.locator("#param-steps").fill(String(steps));
  if (count) await page.locator("#param-count").fill(String(count));
  if (size) {
    await page.locator("#param-width").fill(String(size));
    await page.locator("#param-height").fill(String(size));
  }
  const answered = page.waitForResponse((response) => response.request().method() === "POST" && response.url().endsWith("/jobs"));
  await page.locator("button.primary").click();
  const answer = await answered;
  return answer.ok() ? (await answer.json()).id : undefined;
}

/** The image of a job, large or in the gallery. */
export const imageOf = (page, job, image = 1) => page.locator(`[data-image="${job}-${image}"] img`);

/** The settings are folded on a phone. */
export async function openSettings(page) {
  const settings = page.locator("details.settings");
  if ((await settings.getAttribute("open")) === null) await page.locator("button.narrow").click();
}

/** The large images of the job that is done. */
export const finishedImage = (page) => page.locator("z-now .card .tile:not(.blank) img");
export const preview = (page) => page.locator("z-now .preview:not([hidden])");
/** An image that the browser has decoded. */
export const decoded = (image) => image.evaluate((element) => element.decode().then(() => [element.naturalWidth, element.naturalHeight]));

/** What axe finds of the two highest degrees. */
export async function axe(page) {
  // By the protocol, so that the page's policy stays in force.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axeSource });
  const { result } = await session.send("Runtime.evaluate", { expression: "axe.run().then((found) => JSON.stringify(found.violations))", awaitPromise: true });
  const violations = JSON.parse(result.value);
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
}

/** An image of a job as a file. */
export const pngOf = async (page, job, image = 1) =>
  Buffer.from(await page.evaluate(async (path) => Array.from(new Uint8Array(await (await fetch(path)).arrayBuffer())), `zimg/v1/images/${job}-${image}`));

/** The colours of a file (base64) at some places, given as shares of its sides; and its size. */
export const colours = (page, data, places) => page.evaluate(async ({ data, places }) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes]));
  const { width, height } = bitmap;
  const pen = new OffscreenCanvas(width, height).getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  return { width, height, colours: places.map(([x, y]) => [...pen.getImageData(Math.floor(x * width), Math.floor(y * height), 1, 1).data.slice(0, 3)]) };
}, { data, places });

/** Presses the button to generate, and gives what was sent and the job that came of it. */
export async function sentBy(page, prompt) {
  if (prompt) await page.locator("#param-prompt").fill(prompt);
  const request = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/zimg/v1/jobs"));
  await page.locator("button.primary").first().click();
  const sent = await request;
  const answer = await (await sent.response()).json();
  return { ...sent.postDataJSON(), job: answer.id, answer };
}
