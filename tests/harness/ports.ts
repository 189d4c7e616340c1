/** Below the ports that the kernel gives to who asks for any: nobody's connection takes one meanwhile. */
const [FIRST, LAST] = [20_000, 32_000];
let last = FIRST + Math.floor(Math.random() * (LAST - FIRST));

/** A TCP port of 127.0.0.1 that was free a moment ago, and that this process was not given before. */
export function freePort(): number {
  for (;;) {
    last = last < LAST ? last + 1 : FIRST;
    try {
      Bun.listen({ hostname: "127.0.0.1", port: last, socket: { data() {} } }).stop(true);
      return last;
    } catch {
      // Somebody has it.
    }
  }
}
