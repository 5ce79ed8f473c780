// Makes a PNG of each dashboard: node render.mjs DATA OUT
//   DATA: the folder that EGRESS_DASHBOARD_DATA named when tests/live/test_dashboards.py ran
//   OUT: where overview.png, investigation.png and sensor.png go
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const [data, out] = process.argv.slice(2);
if (!out) {
  console.error("usage: node render.mjs DATA OUT");
  process.exit(2);
}
const WIDTH = 1600;
mkdirSync(out, { recursive: true });
const folder = mkdtempSync(join(tmpdir(), "dashboard-picture-"));
try {
  await build({
    entryPoints: [join(here, "picture.jsx")],
    outfile: join(folder, "picture.js"),
    bundle: true,
    // in .mjs files esbuild takes default imports as Node does, and some of Grafana's dependencies mean it otherwise
    alias: Object.fromEntries(
      ["ui", "data", "schema"].map((name) => {
        const whole = `@grafana/${name}`;
        return [whole, join(here, "node_modules", whole, "dist/cjs/index.cjs")];
      }),
    ),
    format: "iife",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"', "process.env.JEST_WORKER_ID": "undefined", global: "window" },
    loader: { ".svg": "text", ".ttf": "empty", ".woff2": "empty", ".png": "dataurl" },
    logLevel: "error",
  });
  for (const name of ["overview", "investigation", "sensor"]) {
    const dashboard = JSON.parse(readFileSync(resolve(here, `../../../dashboards/grafana/${name}.json`)));
    const answers = JSON.parse(readFileSync(join(data, `${name}.data.json`)));
    const rows = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
    // inside a script element `<` could end it
    const given = JSON.stringify({ dashboard, answers }).replaceAll("<", "\\u003c");
    const page = join(folder, `${name}.html`);
    writeFileSync(
      page,
      `<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="picture.css"><body><div id="root"></div><script>window.given = ${given};</script>` +
        '<script src="picture.js"></script></body>',
    );
    execFileSync("chromium", [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
      "--disable-background-networking", "--disable-component-update", "--disable-sync", "--allow-file-access-from-files",
      `--user-data-dir=${join(folder, "profile")}`, `--window-size=${WIDTH},${rows * 38 + 90}`,
      "--virtual-time-budget=8000", "--enable-logging=stderr", "--log-level=0",
      `--screenshot=${resolve(out, `${name}.png`)}`, `file://${page}`,
    ], { stdio: ["ignore", "inherit", process.env.VERBOSE ? "inherit" : "ignore"] });
    console.log(join(out, `${name}.png`));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
