import { expect, test } from "bun:test";
import { RuntimeRefusal } from "./conmon.ts";
import { refused, sentenceOf } from "./refusal.ts";

test("runc's structured line", () => {
  const output = `time="2026-11-22T18:00:00Z" level=warning msg="something else"
time="2026-11-22T18:00:00Z" level=error msg="runc create failed: unable to start container process: exec: \\"nope\\": executable file not found in $PATH"
`;
  expect(sentenceOf(output)).toBe(
    'runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH',
  );
});

test("runc's JSON log line", () => {
  expect(sentenceOf('{"level":"error","msg":"container \\"x\\" does not exist"}\n')).toBe('container "x" does not exist');
});

test("crun's line", () => {
  expect(sentenceOf("executable file `nope` not found in $PATH: No such file or directory\n")).toBe(
    "executable file `nope` not found in $PATH: No such file or directory",
  );
  expect(sentenceOf("2026-11-22T18:00:00.123456Z: mount `/x` failed\n")).toBe("mount `/x` failed");
});

test("Docker's form, with what was printed as the cause; other errors pass", () => {
  const error = refused(new RuntimeRefusal("no such thing\n"), "exec") as Error;
  expect(error.message).toBe("OCI runtime exec failed: no such thing: unknown");
  expect((error.cause as Error).message).toBe("no such thing");
  const other = new Error("x");
  expect(refused(other, "create")).toBe(other);
});
