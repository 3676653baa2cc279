/* Drives the page in a real browser against a real server; no part of `make test`, for it needs Node and Chromium.

   npm install --prefix ANYWHERE playwright-core
   NODE_PATH=ANYWHERE/node_modules node tests/page/browser.cjs PICTURES SHOTS

   PICTURES has a folder for each of four classes or more, with 24 pictures or more each; screenshots go to SHOTS.
   CHROMIUM and PYTHON may name other programs than /usr/bin/chromium and .venv/bin/python. */

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [, , pictures, shots] = process.argv;
const LESSON = { timeout: 120000 };
const names = fs.readdirSync(pictures).filter((name) => fs.statSync(path.join(pictures, name)).isDirectory()).sort();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "negreplay-browser-"));
const some = (name, from, to) =>
  fs.readdirSync(path.join(pictures, name)).sort().slice(from, to).map((file) => path.join(pictures, name, file));

function serve() {
  const server = spawn(process.env.PYTHON ?? ".venv/bin/python",
    ["-m", "negreplay", "teach", "--model", path.join(folder, "shop.safetensors"), "--port", "0"],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, COLUMNS: "200" } });
  return new Promise((resolve) => server.stdout.once("data", (line) => resolve([server, String(line).split(" ")[0]])));
}

async function stage(page, name, files) {
  await page.fill("#class", name);
  await page.setInputFiles("#teach-files", files);
}

async function learned(page) {
  await page.locator("#learn").click();
  await page.locator("#staged .group").first().waitFor({ ...LESSON, state: "detached" });
  await page.locator("#outcome", { hasText: "Learned" }).waitFor();
}

async function shot(page, name, scheme = "light", width = 1280, height = 900) {
  await page.emulateMedia({ colorScheme: scheme });
  await page.setViewportSize({ width, height });
  await page.waitForTimeout(600);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${name} is ${wide} pixels too wide`);
  await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
}

async function visit(page) {
  await shot(page, "empty");
  for (const name of names.slice(0, 3)) await stage(page, name, some(name, 0, 20));
  await shot(page, "staged");
  await learned(page);
  const classes = page.locator("#classes tbody th");
  assert.deepEqual((await classes.allTextContents()).sort(), names.slice(0, 3));

  const hostile = "<img src=x onerror=document.title='!'>";
  await stage(page, hostile, some(names[3], 0, 20));
  await page.locator("#learn").click();
  await page.locator("#lesson").waitFor();
  await page.reload(); // in the middle of learning
  await page.locator("#lesson, #outcome").filter({ visible: true }).first().waitFor();
  await shot(page, "learning");
  await page.locator("#outcome", { hasText: "Learned" }).waitFor(LESSON);
  assert.equal(await classes.count(), 4);
  assert.equal(await page.locator("#classes img").count(), 0);
  assert.notEqual(await page.title(), "!");

  await page.getByRole("button", { name: `Rename ${hostile}` }).click();
  await page.fill("#question-name", names[3]);
  await page.keyboard.press("Enter");
  await page.locator("#classes th", { hasText: names[3] }).waitFor();
  for (const name of names.slice(4)) await stage(page, name, some(name, 0, 24));
  if (names.length > 4) await learned(page);
  for (const name of names.slice(0, 4)) await stage(page, name, some(name, 20, 60));
  await learned(page);

  await page.setInputFiles("#ask-files", some(names[0], 60, 61));
  await page.locator("#bars .bar").first().waitFor();
  await shot(page, "desktop-light");
  await shot(page, "desktop-dark", "dark");
  await shot(page, "phone", "light", 390, 844);
  await page.setViewportSize({ width: 1280, height: 900 });

  const bytes = fs.readFileSync(some(names[1], 60, 61)[0]).toString("base64");
  const dropped = await page.evaluateHandle((text) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], "dropped.png", { type: "image/png" }));
    return transfer;
  }, bytes);
  const before = await page.locator("#shown").getAttribute("src");
  await page.dispatchEvent("#ask-drop", "drop", { dataTransfer: dropped });
  await page.waitForFunction((src) => document.getElementById("shown").src !== src, before);
  await page.fill("#class", "");
  await page.dispatchEvent("#teach-drop", "drop", { dataTransfer: dropped });
  await page.locator("#notice.bad", { hasText: "name of the class" }).waitFor();

  await page.setInputFiles("#ask-files", __filename);
  await page.locator("#notice.bad", { hasText: "can be read" }).waitFor();
  await page.getByRole("button", { name: `Forget ${names[0]}`, exact: true }).click();
  await shot(page, "question");
  await page.locator("#question-yes").click();
  await page.locator("#notice", { hasText: "Forgot" }).waitFor();
  assert.equal(await page.locator("#classes th", { hasText: names[0] }).count(), 0);
  await page.locator("#undo").click();
  await page.locator("#classes th", { hasText: names[0] }).waitFor();

  await page.locator("#ask-camera").click();
  await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
  await page.locator("#shoot").click();
  await page.locator("#camera-said", { hasText: /\S/ }).waitFor(LESSON);
  await shot(page, "camera");
  await page.locator("#camera-close").click();
  await page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"));
  });
  await page.locator("#ask-camera").click();
  await page.locator("#notice.bad", { hasText: "camera was refused" }).waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#download").click()]);
  assert.equal(download.suggestedFilename(), "shop.safetensors");
  await page.setInputFiles("#load", await download.path());
  await page.locator("#question-yes").click();
  await page.locator("#notice", { hasText: "model of" }).waitFor();
}

async function main() {
  fs.mkdirSync(shots, { recursive: true });
  const [server, address] = await serve();
  const flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });
  const complaints = [];
  try {
    const page = await browser.newPage();
    page.on("dialog", (dialog) => dialog.accept());
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (line) => { if (line.type() === "error" && !line.text().includes("400")) complaints.push(line.text()); });
    await page.goto(address);
    await visit(page);
    assert.deepEqual(complaints, []);
    console.log("the page does what it should");
  } catch (error) {
    await browser.contexts()[0]?.pages()[0]?.screenshot({ path: path.join(shots, "failed.png"), fullPage: true });
    throw error;
  } finally {
    await browser.close();
    server.kill("SIGINT");
    fs.rmSync(folder, { recursive: true, force: true });
    if (complaints.length) console.error(complaints.join("\n"));
  }
}

main();
