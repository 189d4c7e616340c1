import { assemble, le32, type Item } from "../assemble.ts";

const EQUAL = 0;
const NOT_EQUAL = 1;
const LESS_OR_EQUAL = 13;
const svc = le32(0xd4000001);

function movz(register: number, value: number): Item {
  return le32(0xd2800000 | (value << 5) | register);
}

function branch(condition: number, to: string): Item {
  return { to, size: 4, encode: (distance) => le32(0x54000000 | (((distance >> 2) & 0x7ffff) << 5) | condition) };
}

/** AArch64: writes the `size` bytes (below 64 KiB) behind the code to standard output, in as many pieces as it takes, then exits: 0, or 1 when it cannot. */
export function arm64(size: number): Uint8Array {
  return assemble([
    { to: "end", size: 4, encode: (distance) => le32(0x10000001 | ((distance & 3) << 29) | (((distance >> 2) & 0x7ffff) << 5)) }, // adr x1, text
    movz(2, size),
    "again",
    movz(8, 64), // write
    movz(0, 1), // standard output
    svc,
    le32(0xf100001f), // cmp x0, 0
    branch(LESS_OR_EQUAL, "failed"),
    le32(0x8b000021), // add x1, x1, x0
    le32(0xeb000042), // subs x2, x2, x0
    branch(NOT_EQUAL, "again"),
    movz(0, 0),
    "exit",
    movz(8, 94), // exit_group
    svc,
    "failed",
    le32(0xb100101f), // cmn x0, EINTR
    branch(EQUAL, "again"),
    movz(0, 1),
    { to: "exit", size: 4, encode: (distance) => le32(0x14000000 | ((distance >> 2) & 0x3ffffff)) }, // b exit
  ]);
}
