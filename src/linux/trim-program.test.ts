import { expect, test } from "bun:test";
import { codeOf, trimProgram } from "./trim-program.ts";

test("only the code of the program itself is let go", () => {
  const mapping = (line: string, anonymous: number): string =>
    `${line}\nSize:  4 kB\nAnonymous:   ${anonymous} kB\nVmFlags: rd ex mr mw me sd\n`;
  const maps = [
    mapping("02a00000-05000000 r--p 00000000 fe:00 1234                               /usr/bin/lighter", 0),
    mapping("05000000-07a3b000 r-xp 02600000 fe:00 1234                               /usr/bin/lighter", 0),
    mapping("07a3b000-07a3c000 r-xp 05000000 fe:00 1234                               /usr/bin/lighter", 4),
    mapping("07a3c000-07f00000 rw-p 05001000 fe:00 1234                               /usr/bin/lighter", 0),
    mapping("7f0000000000-7f0000010000 r-xp 00000000 00:00 0 ", 0),
    mapping("7f1000000000-7f1000020000 r-xp 00001000 fe:00 99                         /usr/lib/libc.so.6", 0),
  ].join("");
  expect(codeOf(maps, "/usr/bin/lighter")).toEqual([{ start: 0x05000000, bytes: 0x07a3b000 - 0x05000000 }]);
  expect(codeOf(maps, "/usr/bin/other")).toEqual([]);
});

test("the program runs on after it", () => {
  trimProgram();
  expect(JSON.parse(`{"a":[1,${"2"}]}`)).toEqual({ a: [1, 2] });
});
