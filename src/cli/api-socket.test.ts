import { expect, test } from "bun:test";
import { oneFileTar } from "./api-socket.ts";

test("tar reads the archive of one file back, with its mode", async () => {
  const tar = Bun.spawn(["tar", "-tvf", "-"], { stdin: new Blob([oneFileTar("run/secrets/x.json", "{}\n")]), stdout: "pipe" });
  const lines = (await new Response(tar.stdout).text()).trim().split("\n");
  expect(lines.map((line) => `${line.split(" ")[0] ?? ""} ${line.split(" ").at(-1) ?? ""}`)).toEqual([
    "drwxr-xr-x run/",
    "drwxr-xr-x run/secrets/",
    "-rw------- run/secrets/x.json",
  ]);
  expect(await tar.exited).toBe(0);
});
