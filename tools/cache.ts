import { mkdir } from "node:fs/promises";
import { join } from "node:path";

/** Where downloads and made images are kept between runs: LIGHTER_TEST_CACHE, else `.cache` of the clone. Returns `<it>/<parts>`, made when missing. */
export async function cacheFolder(...parts: string[]): Promise<string> {
  const folder = join(process.env["LIGHTER_TEST_CACHE"] ?? join(import.meta.dir, "../.cache"), ...parts);
  await mkdir(folder, { recursive: true });
  return folder;
}
