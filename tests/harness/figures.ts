import { appendFile } from "node:fs/promises";

/** Keeps a measured figure for `docs/proof/<area>.md`, which `./test --full` writes from the figures of all suites. */
export async function figure(area: string, what: string, value: string | number): Promise<void> {
  const path = process.env["LIGHTER_TEST_FIGURES"];
  if (path !== undefined) await appendFile(path, `${JSON.stringify({ area, what, value: String(value) })}\n`);
}
