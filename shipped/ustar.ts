const BLOCK = 512;

/** The tar archive (ustar) of one executable file at its root, owned by root, with the time given in seconds. Equal input gives equal bytes. */
export function tarOfProgram(name: string, content: Uint8Array, seconds: number): Uint8Array {
  const padded = Math.ceil(content.length / BLOCK) * BLOCK;
  const archive = new Uint8Array(BLOCK + padded + 2 * BLOCK);
  const put = (at: number, text: string): void => archive.set(new TextEncoder().encode(text), at);
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, "0");
  put(0, name);
  put(100, octal(0o755, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(content.length, 11));
  put(136, octal(seconds, 11));
  put(148, " ".repeat(8)); // the checksum counts itself as blanks
  put(156, "0");
  put(257, "ustar\x0000");
  const checksum = archive.subarray(0, BLOCK).reduce((sum, byte) => sum + byte, 0);
  put(148, `${octal(checksum, 6)}\0 `);
  archive.set(content, BLOCK);
  return archive;
}
