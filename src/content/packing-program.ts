import { LighterError } from "../base/errors.ts";

/** The packings that a program of the machine undoes, by their first bytes. */
const PROGRAMS: readonly { magic: readonly number[]; program: string }[] = [
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], program: "xz" },
  { magic: [0x42, 0x5a, 0x68], program: "bzip2" },
];

/** The program that unpacks what begins with these bytes; undefined for other bytes. */
export function packingProgram(first: Uint8Array): string | undefined {
  return PROGRAMS.find(({ magic }) => magic.every((byte, at) => first[at] === byte))?.program;
}

/** Bytes unpacked by `xz` or `bzip2`. Throws `unsupported` where it is not installed, `invalid` for damaged data. */
export async function* throughProgram(source: AsyncIterable<Uint8Array>, program: string): AsyncGenerator<Uint8Array> {
  if (Bun.which(program) === null)
    throw new LighterError(
      "unsupported",
      `Cannot read the archive: it is packed with ${program}, and the program "${program}" is not installed`,
    );
  const child = Bun.spawn([program, "-dc"], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  const complaint = child.stderr.text();
  let broken: unknown;
  const feeding = feed(source, child.stdin).catch((error: unknown) => {
    broken = error;
    child.kill();
  });
  try {
    for await (const piece of child.stdout) yield piece;
    await feeding;
    if (broken !== undefined) throw broken;
    if ((await child.exited) !== 0) throw new LighterError("invalid", `Cannot read the archive: ${(await complaint).trim()}`);
  } finally {
    child.kill();
    await feeding;
  }
}

async function feed(source: AsyncIterable<Uint8Array>, input: Bun.FileSink): Promise<void> {
  for await (const piece of source) {
    try {
      // What it fails of, the flush does, too; unheard it would end the thread with all of its jobs.
      Promise.resolve(input.write(piece)).catch(() => undefined);
      await input.flush();
    } catch {
      // The program wants no more: its exit code says why.
      return;
    }
  }
  await input.end();
}
