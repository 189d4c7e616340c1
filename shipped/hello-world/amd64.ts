import { assemble, le32, type Item } from "../assemble.ts";

const EXIT = [0xb8, ...le32(231), 0x0f, 0x05]; // mov eax, exit_group; syscall

function jump(opcode: number, to: string): Item {
  return { to, size: 2, encode: (distance) => [opcode, (distance - 2) & 0xff] };
}

/** x86-64: writes the `size` bytes behind the code to standard output, whatever pieces it takes them in, then exits: 0, or 1 when it cannot. */
export function amd64(size: number): Uint8Array {
  return assemble([
    { to: "end", size: 7, encode: (distance) => [0x48, 0x8d, 0x35, ...le32(distance - 7)] }, // lea rsi, [rip + text]
    [0xba, ...le32(size)], // mov edx, size
    "again",
    [0xb8, ...le32(1)], // mov eax, write
    [0xbf, ...le32(1)], // mov edi, standard output
    [0x0f, 0x05], // syscall
    [0x48, 0x85, 0xc0], // test rax, rax
    jump(0x7e, "failed"), // jle
    [0x48, 0x01, 0xc6], // add rsi, rax
    [0x48, 0x29, 0xc2], // sub rdx, rax
    jump(0x75, "again"), // jnz
    [0x31, 0xff], // xor edi, edi
    EXIT,
    "failed",
    [0x48, 0x83, 0xf8, 0xfc], // cmp rax, -EINTR
    jump(0x74, "again"), // je
    [0xbf, ...le32(1)], // mov edi, 1
    EXIT,
  ]);
}
