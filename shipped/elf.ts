/** `e_machine` of the processors we make programs for. */
export const MACHINES = { amd64: 62, arm64: 183 } as const;

export type Architecture = keyof typeof MACHINES;

const HEADER = 64;
const PROGRAM_HEADER = 56;
const ADDRESS = 0x400000n;
const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
const READ = 4;
const WRITE = 2;
const EXECUTE = 1;

/**
 * A static ELF64 program: one segment that is read and executed, with `code` (starting at its first byte) and the `data` it reads right
 * behind it, and a stack that cannot be executed. https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
 */
export function elf(architecture: Architecture, code: Uint8Array, data: Uint8Array): Uint8Array {
  const start = HEADER + 2 * PROGRAM_HEADER;
  const file = new Uint8Array(start + code.length + data.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // magic, 64 bits, little-endian, version 1
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, MACHINES[architecture], true);
  view.setUint32(20, 1, true); // version
  view.setBigUint64(24, ADDRESS + BigInt(start), true); // entry
  view.setBigUint64(32, BigInt(HEADER), true); // offset of the program headers
  view.setUint16(52, HEADER, true);
  view.setUint16(54, PROGRAM_HEADER, true);
  view.setUint16(56, 2, true); // program headers
  segment(view, HEADER, { type: PT_LOAD, flags: READ | EXECUTE, address: ADDRESS, size: file.length, align: 0x10000n });
  segment(view, HEADER + PROGRAM_HEADER, { type: PT_GNU_STACK, flags: READ | WRITE, address: 0n, size: 0, align: 16n });
  file.set(code, start);
  file.set(data, start + code.length);
  return file;
}

function segment(view: DataView, at: number, s: { type: number; flags: number; address: bigint; size: number; align: bigint }): void {
  view.setUint32(at, s.type, true);
  view.setUint32(at + 4, s.flags, true);
  view.setBigUint64(at + 16, s.address, true); // virtual
  view.setBigUint64(at + 24, s.address, true); // physical
  view.setBigUint64(at + 32, BigInt(s.size), true); // in the file
  view.setBigUint64(at + 40, BigInt(s.size), true); // in memory
  view.setBigUint64(at + 48, s.align, true);
}
