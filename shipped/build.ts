/** `bun shipped/build.ts`: makes the images we ship from their sources and writes them into `src/registry/shipped-data.ts`; a test holds the two together. */
import { join } from "node:path";
import { helloWorld } from "./hello-world/hello-world.ts";

/** The text of `src/registry/shipped-data.ts`. */
export function shippedData(): string {
  const { index, blobs } = helloWorld();
  const image = {
    repository: "library/hello-world",
    tags: ["latest", "linux"],
    index,
    blobs: blobs.map(({ digest, mediaType, bytes }) => ({ digest, mediaType, base64: bytes.toBase64() })),
  };
  return [
    "// Made by `bun shipped/build.ts` from the sources under shipped/. Not edited by hand.\n",
    "/** The images the executable carries, their blobs in base64; an index stands after what it refers to. */",
    `export const SHIPPED_DATA = ${JSON.stringify([image], undefined, 2)} as const;\n`,
  ].join("\n");
}

if (import.meta.main) await Bun.write(join(import.meta.dir, "../src/registry/shipped-data.ts"), shippedData());
