// usage: node run.mjs BINARY SCREENSHOTS: tests the dashboard in a browser.
import { run as large } from "./large.mjs";
import { run as pages } from "./pages.mjs";

const [binary, shots] = process.argv.slice(2);
let failed = 0;
const test = async (name, body) => {
  try {
    await body();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
};
await pages(binary, shots, test);
await large(binary, shots, test);
console.log(failed ? `${failed} failed` : "all pass");
process.exit(failed ? 1 : 0);
