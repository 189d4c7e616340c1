/**
 * `bun run generate`: derives `src/wire/engine-api.ts` (TypeScript types of the Docker Engine API)
 * from `reference/engine-api.json`. The result is committed; run this again when the facts change.
 */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@hey-api/openapi-ts";
import { convertObj } from "swagger2openapi";

const root = join(import.meta.dir, "..");
const facts = await Bun.file(join(root, "reference/engine-api.json")).json();
dropObjectEnums(facts);
const { openapi } = await convertObj(facts, { patch: true, warnOnly: true });
const work = await mkdtemp(join(tmpdir(), "lighter-generate-"));
try {
  await Bun.write(join(work, "openapi.json"), JSON.stringify(openapi));
  await createClient({
    input: join(work, "openapi.json"),
    output: join(work, "out"),
    plugins: [{ name: "@hey-api/typescript", enums: false }],
    logs: { level: "error" },
  });
  await cp(join(work, "out/types.gen.ts"), join(root, "src/wire/engine-api.ts"));
} finally {
  await rm(work, { recursive: true, force: true });
}

/** Swagger's idiom for "an empty object" is `enum: [{}]`, which no TypeScript generator understands: leave the plain object. */
function dropObjectEnums(node: unknown): void {
  if (typeof node !== "object" || node === null) return;
  const schema = node as Record<string, unknown>;
  const values = schema["enum"];
  if (Array.isArray(values) && values.some((value) => typeof value === "object")) {
    delete schema["enum"];
    schema["additionalProperties"] = {};
  }
  for (const child of Object.values(schema)) dropObjectEnums(child);
}
