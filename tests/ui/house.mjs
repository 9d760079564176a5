// A bosun of its own for the tests of the pages, and a browser that notes whatever it should not have to.
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// A machine in a hurry: PCS' minute, in which bosun's power limits are counted, is short.
const HURRY = [
  ["pcs-sample-interval", "200ms"], ["pcs-confirm-interval", "100ms"], ["pcs-minute", "600ms"], ["pcs-start", "20ms"],
  ["soft-off", "1s"], ["force-off", "500ms"], ["power-on", "500ms"], ["boot", "2s"], ["configure", "1s"], ["hsm-lag", "100ms"],
].map(([name, value]) => `--${name}=${value}`);

export class House {
  static async open(binary, ...machine) {
    const data = mkdtempSync("/tmp/bosun-ui.");
    chmodSync(data, 0o755); // started by root, Postgres runs as somebody else
    const log = openSync(`${data}/log`, "w");
    const given = (flag) => machine.some((other) => other.split("=")[0] === flag.split("=")[0]);
    const hurry = HURRY.filter((flag) => !given(flag));
    const child = spawn(binary, ["dev", "--listen=127.0.0.1:0", `--data=${data}/data`, ...hurry, ...machine], {
      stdio: ["ignore", "pipe", log],
    });
    const house = new House();
    Object.assign(house, { child, data });
    house.url = await new Promise((ready, failed) => {
      let said = "";
      child.stdout.on("data", (chunk) => {
        said += chunk;
        const found = said.match(/ready (\S+)/);
        if (found) ready(found[1]);
      });
      child.on("exit", (code) => failed(new Error(`bosun dev ended with ${code}: ${readFileSync(`${data}/log`, "utf8")}`)));
    });
    return house;
  }

  async ask(path, body) {
    const answer = await fetch(this.url + path, {
      method: body ? "POST" : "GET",
      headers: { "content-type": "application/json", "bosun-actor": "tester" },
      body: body && JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  // Waits until HSM's components are known: discovery runs beside the start.
  async discovered(count) {
    await until(`${count} components`, async () => {
      const page = await this.ask(`/bosun/v1/components?page_size=${count}`);
      return page.length >= count;
    });
  }

  async close() {
    this.child.removeAllListeners("exit");
    const ended = new Promise((done) => this.child.on("exit", done));
    this.child.kill("SIGTERM");
    await ended;
    rmSync(this.data, { recursive: true, force: true });
  }
}

export const until = async (what, look, patience = 90_000) => {
  const begun = Date.now();
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() - begun > patience) throw new Error(`still waiting for ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
};

export class Browser {
  static async open(house) {
    const browser = new Browser();
    browser.house = house;
    browser.faults = [];
    browser.inner = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: process.getuid() === 0 ? ["--no-sandbox"] : [],
    });
    return browser;
  }

  // A page whose requests and complaints are watched.
  async page(colorScheme = "light") {
    const context = await this.inner.newContext({ viewport: { width: 1440, height: 900 }, colorScheme });
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: this.house.url });
    const page = await context.newPage();
    page.on("request", (request) => {
      if (!request.url().startsWith(this.house.url)) this.faults.push(`a request left the host: ${request.url()}`);
    });
    page.on("console", (message) => {
      if (message.type() === "error") this.faults.push(`on the console of ${page.url()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.faults.push(`an exception on ${page.url()}: ${error.message}`));
    return page;
  }

  // The script is evaluated, not injected: the page's policy forbids the latter.
  async axe(page) {
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => window.axe.run(document));
    return violations.map((one) => `${one.id} (${one.impact}): ${one.nodes.map((node) => node.target.join(" ")).slice(0, 4).join(", ")}`);
  }

  async close() {
    await this.inner.close();
  }
}
