/**
 * Classic BPF as seccomp uses it: loads of 32-bit words of `struct seccomp_data` (0 is the number of the call, 4 the architecture, 16 and
 * on the arguments), jumps forward, and a return value. https://docs.kernel.org/userspace-api/seccomp_filter.html
 */
export interface Instruction {
  code: number;
  /** How many instructions to skip when a comparison holds, and when not. */
  jt: number;
  jf: number;
  k: number;
}

export const LOAD = 0x20;
export const AND = 0x54;
export const JUMP = 0x05;
export const RETURN = 0x06;
/** Comparisons of what was loaded last with a constant. */
export const COMPARE: Readonly<Record<number, (a: number, k: number) => boolean>> = {
  0x15: (a, k) => a === k,
  0x25: (a, k) => a > k,
  0x35: (a, k) => a >= k,
  0x45: (a, k) => (a & k) !== 0,
};
export const AT_LEAST = 0x35;
export const EQUAL = 0x15;

export const NUMBER_AT = 0;
export const ARCHITECTURE_AT = 4;

/** Takes a program apart (8 bytes an instruction: u16 code, u8 jt, u8 jf, u32 k, little-endian hosts). */
export function decode(program: Uint8Array): Instruction[] {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  return [...Array(program.length / 8).keys()].map((index) => ({
    code: view.getUint16(index * 8, true),
    jt: view.getUint8(index * 8 + 2),
    jf: view.getUint8(index * 8 + 3),
    k: view.getUint32(index * 8 + 4, true),
  }));
}

/** The reverse of {@link decode}. */
export function encode(instructions: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(instructions.length * 8));
  instructions.forEach(({ code, jt, jf, k }, index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k, true);
  });
  return new Uint8Array(view.buffer);
}

/** Runs a program on `data`, words of `struct seccomp_data` by their offset. Throws for what seccomp does not allow. */
export function interpret(program: readonly Instruction[], data: (offset: number) => number): number {
  let value = 0;
  for (let at = 0; ;) {
    const instruction = program[at];
    if (!instruction) throw new RangeError("the program runs past its end");
    const { code, jt, jf, k } = instruction;
    at++;
    const compare = COMPARE[code];
    if (code === LOAD) value = data(k) >>> 0;
    else if (code === AND) value = (value & k) >>> 0;
    else if (code === JUMP) at += k;
    else if (code === RETURN) return k;
    else if (compare) at += compare(value, k) ? jt : jf;
    else throw new RangeError(`unknown instruction ${code}`);
  }
}
