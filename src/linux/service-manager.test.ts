import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeFd } from "./fd.ts";
import { check, libc } from "./libc.ts";
import { tellServiceManager } from "./service-manager.ts";

/** What a datagram socket of this name receives while `use` runs. */
function received(name: string, use: () => void): string {
  const fd = check(libc().socket(1, 2, 0), "socket");
  try {
    const address = Buffer.from(`\u0001\0${name.replace(/^@/, "\0")}`);
    check(libc().bind(fd, address, address.length), "bind");
    use();
    const buffer = new Uint8Array(100);
    const length = check(libc().recv(fd, buffer, buffer.length, 0x40), "recv");
    return Buffer.from(buffer.subarray(0, length)).toString();
  } finally {
    closeFd(fd);
  }
}

test("a state reaches a socket with a path, and one of an abstract name", () => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-notify-"));
  try {
    const path = join(folder, "socket");
    expect(received(path, () => expect(tellServiceManager("READY=1", path)).toBe(true))).toBe("READY=1");
    const abstract = `@lighter-${crypto.randomUUID()}`;
    expect(received(abstract, () => expect(tellServiceManager("STOPPING=1", abstract)).toBe(true))).toBe("STOPPING=1");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("nobody asked", () => {
  expect(tellServiceManager("READY=1", "")).toBe(false);
  expect(tellServiceManager("READY=1", "vsock:2:1")).toBe(false);
});

test("the manager has gone", () => {
  expect(() => tellServiceManager("READY=1", "/nowhere/notify")).toThrow(/ENOENT/);
});
