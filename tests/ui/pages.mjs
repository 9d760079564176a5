// The pages as people use them, on a small machine.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { Browser, House, until } from "./house.mjs";

const NODES = 240;

export const run = async (binary, shots, test) => {
  mkdirSync(shots, { recursive: true });
  const house = await House.open(binary, `--nodes=${NODES}`, "--fail-power-off=2");
  const browser = await Browser.open(house);
  try {
    await house.discovered(NODES);
    const page = await browser.page();
    const go = (path) => page.goto(house.url + path, { waitUntil: "load" });
    const text = (selector) => page.locator(selector).innerText();
    let id;

    await test("the list tells of a new session by itself", async () => {
      await go("/ui/sessions");
      await page.locator("#pulse[data-state=on]").waitFor();
      await page.evaluate(() => (window.unmoved = true));
      ({ id } = await house.ask("/bosun/v1/sessions", { name: "first", template: "demo", operation: "reboot" }));
      await page.locator(`#s${id}`).waitFor();
      assert.equal(await page.evaluate(() => window.unmoved), true, "the page was loaded anew");
    });

    await test("a session's page follows it to its end", async () => {
      await go(`/ui/sessions/${id}`);
      await page.evaluate(() => (window.unmoved = true));
      const seen = new Set();
      await until("the end", async () => {
        seen.add(await text(".counts"));
        return (await text("#head h1")).includes("partial");
      });
      assert.ok(seen.size >= 3, `the counts were seen to change ${seen.size} times`);
      assert.equal(await page.evaluate(() => window.unmoved), true, "the page was loaded anew");
    });

    await test("the graph says what the API says", async () => {
      const session = await house.ask("/bosun/v1/sessions/first");
      assert.equal(await page.locator("[data-step]").count(), session.steps.length);
      for (const step of session.steps) {
        const drawn = await page.locator(`[data-step="${step.name}"] .step-count`).textContent();
        const settled = step.succeeded + step.failed + step.skipped;
        assert.ok(drawn.startsWith(`${settled} / ${step.targeted}`), `${step.name}: ${drawn}`);
        assert.equal(drawn.includes(`${step.failed} failed`), step.failed > 0, `${step.name}: ${drawn}`);
      }
    });

    await test("the map says what the API says", async () => {
      const session = await house.ask("/bosun/v1/sessions/first?full=true");
      const places = await page.locator("#map-legend button").allInnerTexts();
      const count = (label) => Number(places.find((place) => place.includes(label))?.match(/\d+/)?.[0] ?? 0);
      assert.equal(count("through"), session.succeeded, places.join());
      assert.equal(count("failed in compute/power_off"), session.failed, places.join());
      const { results } = await house.ask("/bosun/v1/sessions/first/results?outcome=failed&page_size=100");
      const failed = new Set(results.map((result) => result.component));
      assert.equal(failed.size, 2);
      const nodes = await house.ask("/bosun/v1/components?page_size=1000");
      for (const name of [...failed, ...nodes.slice(0, 20).map((node) => node.name)]) {
        await page.fill("#map-find", name);
        const says = await text("#map-says");
        assert.equal(says, `${name}: ${failed.has(name) ? "failed in compute/power_off" : "through"}`);
      }
      await page.fill("#map-find", "");
    });

    await test("a click on a node opens its history, and so does the keyboard", async () => {
      await page.locator("#map-canvas").click({ position: { x: 5, y: 25 } });
      await page.waitForURL(/components\/x1000c0s0b0n0$/);
      assert.match(await text("#history"), /compute\/power_off/);
      await page.goBack();
      await page.locator("#map-legend button").first().waitFor();
      await page.locator("#map-canvas").focus();
      for (const key of ["Home", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
      const name = (await text("#map-says")).split(":")[0];
      await page.keyboard.press("Enter");
      await page.waitForURL(new RegExp(`components/${name}$`));
      await page.goBack();
    });

    await test("what is copied can be pasted as a limit", async () => {
      await page.locator('[data-copy="failed-0"]').click();
      const copied = await page.evaluate(() => navigator.clipboard.readText());
      const plan = await house.ask("/bosun/v1/plan", { template: "demo", operation: "reboot", limit: copied });
      assert.equal(plan.targeted, 2, copied);
    });

    await test("cancelling wants the name typed", async () => {
      await go(`/ui/sessions/${id}/confirm/cancel`);
      const button = page.locator("main button[type=submit]");
      assert.ok(await button.isDisabled());
      await page.fill("#confirmed", "second");
      assert.ok(await button.isDisabled());
      await page.fill("#confirmed", "first");
      assert.ok(await button.isEnabled());
    });

    await test("what failed is retried from the page", async () => {
      await go(`/ui/sessions/${id}`);
      await page.locator("#retry").click();
      await page.fill("#reason", "mended");
      await page.locator("main button[type=submit]").click();
      await page.waitForURL(/said=retry/);
      const [command] = await house.ask("/bosun/v1/sessions/first/commands");
      assert.deepEqual([command.kind, command.reason], ["retry", "mended"]);
      await until("the retry to end", async () => {
        const session = await house.ask("/bosun/v1/sessions/first");
        return session.state === "ended" && session.steps.some((step) => step.attempts > NODES + 4);
      });
    });

    await test("the plan shows what would be done, and how long it took before", async () => {
      await go("/ui/plan?template=demo&operation=boot");
      const plan = await house.ask("/bosun/v1/plan", { template: "demo", operation: "boot" });
      const shown = await text("#forecast");
      assert.ok(shown.includes(`${plan.forecast.untouched.count} nodes would not be powered`), shown);
      assert.match(shown, /compute\/power_on\s/);
      assert.equal(await page.locator("#forecast tbody tr").count(), plan.steps.length);
    });

    const settled = async (name, wanted) =>
      until(`${name} to be ${wanted}`, async () => {
        const session = await house.ask(`/bosun/v1/sessions/${name}`);
        return session.state === wanted && session;
      });
    const submit = () => page.locator("main form.confirm button[type=submit]");

    await test("a wave is approved, its plan is changed and nodes are skipped from the page", async () => {
      const body = { name: "waves", template: "demo", operation: "reboot", limit: "x1000c0s[0-1]", waves: "1,rest", approve_between_waves: true };
      const { id: waves } = await house.ask("/bosun/v1/sessions", body);
      await settled("waves", "halted");
      await go(`/ui/sessions/${waves}`);
      await page.locator("#set").click();
      await page.fill('[id="timeout:await_boot"]', "45m");
      await page.screenshot({ path: `${shots}/set.png`, fullPage: true });
      await submit().click();
      await page.waitForURL(/said=set/);
      await page.locator("#skip").click();
      await page.fill("#components", "x1000c0s1b0n1");
      assert.ok(await submit().isDisabled(), "who is skipped goes no further: the name has to be typed");
      await page.fill("#confirmed", "waves");
      await page.fill("#reason", "bad board");
      await page.screenshot({ path: `${shots}/skip.png`, fullPage: true });
      await submit().click();
      await page.waitForURL(/said=skip/);
      await page.locator("#approve").click();
      await page.fill("#reason", "the first is well");
      await page.screenshot({ path: `${shots}/approve.png`, fullPage: true });
      await submit().click();
      await page.waitForURL(/said=approve/);
      const ended = await settled("waves", "ended");
      assert.equal(ended.skipped, 1, JSON.stringify(ended.skips));
      const commands = await house.ask("/bosun/v1/sessions/waves/commands");
      assert.deepEqual(commands.map((command) => command.kind).sort(), ["approve", "set", "skip"]);
    });

    await test("a node is let pass from the page, with a reason only", async () => {
      await house.ask("/bosun/v1/sessions", { name: "stays", template: "demo", operation: "shutdown" });
      const ended = await settled("stays", "ended");
      assert.ok(ended.failed > 0);
      await go(`/ui/sessions/${ended.id}`);
      await page.locator("#failures").getByText("Let pass…").first().click();
      const whom = await page.inputValue("#components");
      assert.ok(whom.startsWith("x1000"), whom);
      await page.screenshot({ path: `${shots}/pass.png`, fullPage: true });
      await submit().click();
      assert.ok(await page.evaluate(() => !document.querySelector("#reason").validity.valid), "a reason is wanted");
      await page.fill("#reason", "seen off by hand");
      await submit().click();
      await page.waitForURL(/said=pass/);
      await until("all to be through", async () => {
        const session = await house.ask("/bosun/v1/sessions/stays");
        return session.state === "ended" && session.failed === 0;
      });
    });

    await test("the keyboard alone leads to the content", async () => {
      await go("/ui/sessions");
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.className), "skip-link");
      await page.keyboard.press("Enter");
      assert.equal(await page.evaluate(() => document.activeElement.id), "main");
      const reached = new Set();
      for (let press = 0; press < 25; press++) {
        await page.keyboard.press("Tab");
        reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute("href")));
      }
      for (const wanted of ["state", "operation", "name", `/ui/sessions/${id}`]) assert.ok(reached.has(wanted), wanted);
    });

    await test("the theme is chosen with a button, and stays", async () => {
      await page.locator("#theme").click();
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
      await page.reload();
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
    });

    const running = await house.ask("/bosun/v1/sessions", { name: "second", template: "demo", operation: "reboot" });
    for (const scheme of ["light", "dark"]) {
      const other = await browser.page(scheme);
      for (const [name, path] of [
        ["sessions", "/ui/sessions"],
        ["session-running", `/ui/sessions/${running.id}`],
        ["session-ended", `/ui/sessions/${id}`],
        ["component", "/ui/components/x1000c0s0b0n0"],
        ["plan", "/ui/plan?template=demo&operation=reboot"],
        ["cancel", `/ui/sessions/${running.id}/confirm/cancel`],
        ["guide", "/ui/documents/guide"],
        ["failures", "/ui/documents/failures"],
        ["workflow", "/ui/documents/workflow"],
        ["comparison", "/ui/documents/comparison"],
        ["migration", "/ui/documents/migration"],
      ]) {
        await test(`${name} is accessible, ${scheme}`, async () => {
          await other.goto(house.url + path, { waitUntil: "load" });
          if (name.startsWith("session-")) await other.locator("#map-legend button").first().waitFor();
          await other.screenshot({ path: `${shots}/${name}-${scheme}.png`, fullPage: true });
          assert.deepEqual(await browser.axe(other), []);
        });
      }
    }
    await test("no request left the host, and no console complained", () => assert.deepEqual(browser.faults, []));
  } finally {
    await browser.close();
    await house.close();
  }
};
