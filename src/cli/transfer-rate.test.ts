import { expect, test } from "bun:test";
import { showProgress } from "./progress.ts";
import { TransferRates } from "./transfer-rate.ts";

test("speed and time left: of what came, not of what was there", () => {
  const rates = new TransferRates();
  expect(rates.text("a", 50e6, 100e6, 0)).toBe("");
  expect(rates.text("a", 51e6, 100e6, 100)).toBe("");
  expect(rates.text("a", 60e6, 100e6, 1000)).toBe(" 10MB/s 4s");
  expect(rates.text("b", 0, 1e9, 1000)).toBe("");
  expect(rates.text("b", 1e6, 1e9, 2000)).toBe(" 1MB/s 16m39s");
});

test("the speed is that of the last seconds; begun anew, it is measured anew", () => {
  const rates = new TransferRates();
  for (let second = 0; second <= 10; second++) rates.text("a", second * 10e6, 1e9, second * 1000);
  let text = "";
  for (let second = 11; second <= 20; second++) text = rates.text("a", 100e6 + (second - 10) * 1e6, 1e9, second * 1000);
  expect(text).toBe(" 1MB/s 14m50s");
  for (let second = 21; second <= 30; second++) text = rates.text("a", 110e6, 1e9, second * 1000);
  expect(text).toBe(" stalled");
  expect(rates.text("a", 1e6, 1e9, 31_000)).toBe("");
  expect(rates.text("a", 2e6, 1e9, 32_000)).toBe(" 1MB/s 16m38s");
});

async function drawn(terminal: boolean, columns: number): Promise<string> {
  let out = "";
  async function* body(): AsyncGenerator<Uint8Array> {
    for (const current of [10e6, 60e6]) {
      yield Buffer.from(`${JSON.stringify({ id: "abc", status: "Downloading", progressDetail: { current, total: 100e6 } })}\r\n`);
      await Bun.sleep(520);
    }
    yield Buffer.from(`${JSON.stringify({ id: "abc", status: "Extracting", progressDetail: { current: 10e6, total: 100e6 } })}\r\n`);
  }
  await showProgress(body(), { terminal, columns, write: (piece) => void (out += piece) });
  return out;
}

test("only a terminal that is wide enough shows it, and only for what travels", async () => {
  const [wide, bar, narrow, file] = await Promise.all([drawn(true, 140), drawn(true, 115), drawn(true, 80), drawn(false, 200)]);
  expect(wide).toMatch(/abc: Downloading \[=+> +\] +60MB\/100MB +[\d.]+MB\/s \ds/);
  expect(wide).toMatch(/abc: Extracting \[=+> +\] +10MB\/100MB\r/);
  expect(bar).toMatch(/abc: Downloading \[=+> +\] +60MB\/100MB\r/);
  expect(narrow).toMatch(/abc: Downloading +60MB\/100MB +[\d.]+MB\/s \ds/);
  expect(file).toBe("");
});
