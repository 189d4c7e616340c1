import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { LighterError } from "../base/errors.ts";

/** The bytes of a file, or of standard input where `path` is empty or `-`. Throws `invalid` when the file cannot be read. */
export async function inputStream(path: string): Promise<ReadableStream<Uint8Array>> {
  if (path === "" || path === "-") return Bun.stdin.stream();
  const info = await stat(path).catch((error: unknown) => {
    throw new LighterError("invalid", `open ${path}: no such file or directory`, { cause: error });
  });
  if (info.isFile()) return Bun.file(path).stream();
  if (info.isDirectory()) throw new LighterError("invalid", `read ${path}: is a directory`);
  const source = createReadStream(path);
  return new ReadableStream({
    async start(controller) {
      for await (const bytes of source) controller.enqueue(bytes as Uint8Array);
      controller.close();
    },
  });
}
