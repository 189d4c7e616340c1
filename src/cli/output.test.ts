import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "lighter-output-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Binary, longer than a pipe holds, and no multiple of what is written at once. */
const LONG = 300_001;
const HEAD = `
  const { print, printed, write } = await import(${JSON.stringify(join(import.meta.dir, "output.ts"))});
  const long = Uint8Array.from({ length: ${LONG} }, (_, at) => at * 7);
`;
const long = Buffer.from(Uint8Array.from({ length: LONG }, (_, at) => at * 7));

/** Runs a program whose standard output goes where `to` (a part of a shell's line) says. */
async function run(program: string, to: string): Promise<{ out: Buffer; err: string; code: number }> {
  const script = `{ "$0" -e "$1"; echo $? > "$2/code"; } ${to}`;
  const child = Bun.spawn(["/bin/sh", "-c", script, process.execPath, HEAD + program, folder], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env },
  });
  const [out, err] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
  return { out: Buffer.from(out), err, code: Number(readFileSync(join(folder, "code"), "utf8")) };
}

test.each(["| cat", "| (sleep 0.2; cat)", "> $2/file; cat $2/file", "2>&1 > $2/file; cat $2/file", ">> $2/new; cat $2/new"])(
  "all bytes are written in their order before the program ends: %s",
  async (to) => {
    const { out, code } = await run(`print(1, "ä\\n"); print(1, long); print(1, new Uint8Array()); print(1, "end"); process.exit(3)`, to);
    expect(out.equals(Buffer.concat([Buffer.from("ä\n"), long, Buffer.from("end")]))).toBe(true);
    expect(code).toBe(3);
  },
);

test("a full pipe that does not wait gets every byte once, in the order of the calls", async () => {
  // What Bun's own writer does to a pipe that others share, too.
  const program = `
    const writer = Bun.stdout.writer(); writer.write("x"); await writer.flush();
    print(1, long); print(1, "one"); print(1, long); await write(1, new TextEncoder().encode("two")); print(1, "end");
    await printed(); process.exit(0)`;
  const { out, code } = await run(program, "| (sleep 0.3; cat)");
  expect(out.equals(Buffer.concat([Buffer.from("x"), long, Buffer.from("one"), long, Buffer.from("twoend")]))).toBe(true);
  expect(code).toBe(0);
});

test("a reader that has gone ends the program without a word, as SIGPIPE would", async () => {
  for (const call of ["print(1, long)", "await write(1, long)"]) {
    const { err, code } = await run(`${call}; process.exit(0)`, "| true");
    expect([err, code]).toEqual(["", 141]);
  }
});

test("another failure is the caller's", async () => {
  const { code, err } = await run(`try { print(1, "x") } catch (error) { print(2, error.code) } process.exit(4)`, "> /dev/full");
  expect([code, err]).toEqual([4, "ENOSPC"]);
});

test("a TCP socket that does not wait and whose reader is slow gets every byte once", async () => {
  const times = 60;
  const hash = new Bun.CryptoHasher("sha256");
  let size = 0;
  const ended = Promise.withResolvers<void>();
  using server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        socket.pause();
        // What is printed meanwhile is more than the kernel holds.
        setTimeout(() => socket.resume(), 300);
      },
      data: (_, bytes) => {
        size += bytes.length;
        hash.update(bytes);
      },
      close: () => ended.resolve(),
    },
  });
  const client = await Bun.connect({ hostname: "127.0.0.1", port: server.port, socket: { data: () => {} } });
  const { fd } = client as unknown as { fd: number };
  const program = `${HEAD} const writer = Bun.stdout.writer(); writer.write("x"); await writer.flush();
    for (let i = 0; i < ${times}; i++) print(1, long); await printed(); process.exit(0)`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdout: fd, stderr: "inherit", env: { ...process.env } });
  expect(await child.exited).toBe(0);
  client.end();
  await ended.promise;
  const wanted = new Bun.CryptoHasher("sha256").update("x");
  for (let i = 0; i < times; i++) wanted.update(long);
  expect(size).toBe(1 + times * LONG);
  expect(hash.digest("hex")).toBe(wanted.digest("hex"));
});
