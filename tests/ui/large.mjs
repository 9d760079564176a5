// How quick a session of 50,000 nodes is to look at while it runs. Bars: first paint 1 s, an interaction 100 ms.
import { Browser, House, until } from "./house.mjs";

const NODES = 50_000;
const TIMES = 7;

const median = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];

export const run = async (binary, shots, test) => {
  const house = await House.open(binary, `--nodes=${NODES}`, "--boot=10m");
  const browser = await Browser.open(house);
  try {
    await house.discovered(NODES);
    const { id } = await house.ask("/bosun/v1/sessions", { name: "large", template: "demo", operation: "reboot" });
    const page = await browser.page();
    await until("the nodes to be on their way", async () => {
      const session = await house.ask("/bosun/v1/sessions/large?brief=true");
      return session.steps.some((step) => step.name.endsWith("await_boot") && step.in_flight > NODES / 2);
    }, 600_000);
    await page.goto(`${house.url}/ui/sessions/${id}`, { waitUntil: "load" });
    await page.locator("#map-canvas[data-painted]").waitFor();
    const paints = [];
    const maps = [];
    for (let time = 0; time < TIMES; time++) {
      await page.goto(`${house.url}/ui/sessions/${id}`, { waitUntil: "load" });
      await page.locator("#map-canvas[data-painted]").waitFor();
      maps.push(await page.evaluate(() => performance.now()));
      paints.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
    }
    // From the event to the end of the frame that shows what it did.
    const took = (act) =>
      page.evaluate(async (act) => {
        const canvas = document.getElementById("map-canvas");
        const begun = performance.now();
        if (act === "key") canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
        else if (act === "point") {
          const box = canvas.getBoundingClientRect();
          canvas.dispatchEvent(new MouseEvent("mousemove", { clientX: box.left + 40 + 90 * Math.random(), clientY: box.top + 60 }));
        } else document.querySelector("#map-legend button").click();
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        return performance.now() - begun;
      }, act);
    const acts = {};
    for (const act of ["key", "point", "only"]) {
      const times = [];
      for (let time = 0; time < TIMES; time++) times.push(await took(act));
      acts[act] = median(times);
    }
    await page.screenshot({ path: `${shots}/large.png` });
    const size = await page.evaluate(() => Math.max(...performance.getEntriesByType("resource").filter((one) => one.name.includes("/map")).map((one) => one.decodedBodySize)));
    const rounded = (ms) => `${ms.toFixed(0)} ms`;
    console.log(`  ${NODES} nodes: first paint ${rounded(median(paints))} (bar 1000), map drawn ${rounded(median(maps))}, ` +
      `map ${(size / 1024).toFixed(1)} KiB; arrow key ${rounded(acts.key)}, pointing ${rounded(acts.point)}, ` +
      `show only ${rounded(acts.only)} (bar 100)`);
    await test("50,000 nodes are quick to look at", () => {
      if (median(paints) > 1_000) throw new Error("the first paint is too slow");
      for (const [act, ms] of Object.entries(acts)) if (ms > 100) throw new Error(`${act} is too slow`);
    });
  } finally {
    await browser.close();
    await house.close();
  }
};
