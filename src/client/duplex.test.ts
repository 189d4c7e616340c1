import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectDuplex } from "./duplex.ts";

const MEGABYTE = 1 << 20;

test("much comes whole and in order to one who takes his time, up to the end", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-duplex-"));
  const path = join(folder, "socket");
  const bytes = Buffer.alloc(12 * MEGABYTE + 17, "not a power of two, so that pieces differ; ");
  // In pieces large and small, so that the end of what is there comes at any place.
  const server = createServer((socket) => {
    let at = 0;
    const send = (): void => {
      for (let size = 1; at < bytes.length; size = (size * 7) % 300_007) {
        const piece = bytes.subarray(at, at + size);
        at += size;
        if (!socket.write(piece)) return void socket.once("drain", send);
      }
      socket.end();
    };
    send();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    const duplex = await connectDuplex({ kind: "unix", path, text: path });
    const hasher = new Bun.CryptoHasher("sha256");
    let size = 0;
    let busy = false;
    await duplex.read(async (piece) => {
      expect(busy).toBe(false);
      busy = true;
      if (size % 3 === 0) await Bun.sleep(1);
      else await Promise.resolve();
      hasher.update(piece);
      size += piece.length;
      busy = false;
    });
    duplex.close();
    expect(size).toBe(bytes.length);
    expect(hasher.digest("hex")).toBe(new Bun.CryptoHasher("sha256").update(bytes).digest("hex"));
  } finally {
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  }
});
