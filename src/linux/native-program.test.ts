import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nativeProgram } from "./native-program.ts";

const folder = mkdtempSync(join(tmpdir(), "lighter-native-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes its last argument and ends with the number of its arguments, by way of functions that stand before and behind each other. */
const SOURCE = `
#if defined(__x86_64__)
#define WRITE 1
#define EXIT 60
#else
#define WRITE 64
#define EXIT 93
#endif
typedef long (*Call)(long number, ...);
static long length(const char *text);
static void say(Call call, const char *text) { call(WRITE, 1, text, length(text), 0, 0, 0); }
static long length(const char *text) { long n = 0; while (text[n]) n++; return n; }
void lighter_main(long *stack, Call call)
{
  char **argv = (char **) (stack + 1);
  say(call, argv[stack[0] - 1]);
  call(EXIT, stack[0], 0, 0, 0, 0, 0);
}
`;

test("a program of machine code alone gets its arguments and calls the kernel", () => {
  const path = join(folder, "program");
  const program = nativeProgram(SOURCE);
  writeFileSync(path, program);
  chmodSync(path, 0o755);
  const { stdout, exitCode } = Bun.spawnSync([path, "one", "two"]);
  expect([stdout.toString(), exitCode]).toEqual(["two", 3]);
  expect(program.length).toBeLessThan(2000);
});

test("source that does not compile is an error", () => {
  expect(() => nativeProgram("void lighter_main(long *stack, long (*call)(long number, ...)) { nonsense }")).toThrow();
});
