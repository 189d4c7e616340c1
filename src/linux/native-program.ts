import { cc } from "bun:ffi";
import { closeFd, memoryFile, writeAll } from "./fd.ts";

const HEADER = 64;
const PROGRAM_HEADER = 56;
const ADDRESS = 0x400000;
const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
const READ = 4;
const WRITE = 2;
const EXECUTE = 1;

/** More than any program of ours has. */
const ROOM = 1 << 18;

/** By processor: `e_machine`, and the first instructions of a program. */
const PROCESSORS: Readonly<Record<string, { machine: number; start: (entry: number) => number[] }>> = {
  x64: { machine: 62, start: startAmd64 },
  arm64: { machine: 183, start: startArm64 },
};

/**
 * A static ELF program for this processor out of C source, made by the C compiler inside Bun: a few kilobytes that need no library and no file of the system.
 * The source defines `void lighter_main(long *stack, long (*call)(long number, ...))`, which gets the stack as the kernel laid it out (argc, argv) and the way to call the
 * kernel, and must not return. It may not have data of static storage (strings included), as its code alone is taken. Takes about 10 ms.
 * https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
 */
export function nativeProgram(source: string): Uint8Array {
  const processor = PROCESSORS[process.arch];
  if (processor === undefined) throw new Error(`Cannot make a native program: processors of type "${process.arch}" are not known`);
  const { code, entry } = machineCode(source);
  const size = processor.start(0).length;
  return elf(processor.machine, Uint8Array.from([...processor.start(size + entry), ...code]));
}

/** The code between two functions around the source, as it lies in memory: all that it refers to, it refers to by distance. */
function machineCode(source: string): { code: Uint8Array; entry: number } {
  const around = `
void lighter_begin(void) {}
${source}
void lighter_end(void) {}
int lighter_code(char *out, int room, long *entry)
{
  char *from = (char *) lighter_begin;
  int i, count = (char *) lighter_end - from;
  for (i = 0; i < count && i < room; i++) out[i] = from[i];
  *entry = (char *) lighter_main - from;
  return count;
}
`;
  const file = memoryFile("program.c");
  try {
    writeAll(file, Buffer.from(around));
    const symbols = { lighter_code: { args: ["ptr", "i32", "ptr"], returns: "i32" } } as const;
    const { lighter_code: take } = cc({ source: `/proc/self/fd/${file}`, flags: "-nostdlib", symbols }).symbols;
    const room = new Uint8Array(ROOM);
    const entry = new BigInt64Array(1);
    const count = take(room, ROOM, entry);
    if (count <= 0 || count > ROOM) throw new Error(`Cannot make a native program: its code has ${count} bytes`);
    return { code: room.slice(0, count), entry: Number(entry[0]) };
  } finally {
    closeFd(file);
  }
}

/** Calls the entry, `entry` bytes from the first instruction, with the stack and the address of what stands behind: a system call as a C function. */
function startAmd64(entry: number): number[] {
  const code = [0x48, 0x89, 0xe7, 0x48, 0x8d, 0x35, 11, 0, 0, 0, 0x48, 0x83, 0xe4, 0xf0, 0xe8];
  code.push(...le32(entry - (code.length + 4)), 0x0f, 0x0b);
  const call = [0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca, 0x4d, 0x89, 0xc2, 0x4d, 0x89, 0xc8];
  return [...code, ...call, 0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05, 0xc3];
}

function startArm64(entry: number): number[] {
  const code = [0x910003e0, 0x10000061, 0x94000000 | (((entry - 8) / 4) & 0x3ffffff), 0xd4200000];
  const call = [0xaa0003e8, 0xaa0103e0, 0xaa0203e1, 0xaa0303e2, 0xaa0403e3, 0xaa0503e4, 0xaa0603e5, 0xd4000001, 0xd65f03c0];
  return [...code, ...call].flatMap(le32);
}

function le32(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >>> 24) & 0xff];
}

/** One segment that is read and executed, and a stack that is not executed. */
function elf(machine: number, code: Uint8Array): Uint8Array {
  const start = HEADER + 2 * PROGRAM_HEADER;
  const file = new Uint8Array(start + code.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // magic, 64 bits, little-endian, version 1
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, machine, true);
  view.setUint32(20, 1, true); // version
  view.setBigUint64(24, BigInt(ADDRESS + start), true); // entry
  view.setBigUint64(32, BigInt(HEADER), true); // offset of the program headers
  view.setUint16(52, HEADER, true);
  view.setUint16(54, PROGRAM_HEADER, true);
  view.setUint16(56, 2, true); // program headers
  segment(view, HEADER, { type: PT_LOAD, flags: READ | EXECUTE, address: ADDRESS, size: file.length, align: 0x10000 });
  segment(view, HEADER + PROGRAM_HEADER, { type: PT_GNU_STACK, flags: READ | WRITE, address: 0, size: 0, align: 16 });
  file.set(code, start);
  return file;
}

function segment(view: DataView, at: number, s: { type: number; flags: number; address: number; size: number; align: number }): void {
  view.setUint32(at, s.type, true);
  view.setUint32(at + 4, s.flags, true);
  view.setBigUint64(at + 16, BigInt(s.address), true); // virtual
  view.setBigUint64(at + 24, BigInt(s.address), true); // physical
  view.setBigUint64(at + 32, BigInt(s.size), true); // in the file
  view.setBigUint64(at + 40, BigInt(s.size), true); // in memory
  view.setBigUint64(at + 48, BigInt(s.align), true);
}
