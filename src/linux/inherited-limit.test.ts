import { expect, test } from "bun:test";

const SCRIPT = `import { inheritedNofile } from ${JSON.stringify(`${import.meta.dir}/inherited-limit.ts`)}; console.log(JSON.stringify(inheritedNofile()));`;

async function under(command: string, env: Record<string, string> = {}): Promise<{ soft: number; hard: number }> {
  const child = Bun.spawn(["sh", "-c", `${command}; "$0" -e "$1"; true`, process.execPath, SCRIPT], {
    env: { ...process.env, INVOCATION_ID: undefined, ...env },
    stdout: "pipe",
  });
  return JSON.parse(await child.stdout.text()) as { soft: number; hard: number };
}

test("the soft limit of the shell that starts us is found though Bun has raised ours", async () => {
  expect(await under("ulimit -Sn 777")).toMatchObject({ soft: 777 });
});

test("a unit's own limit counts as it is", async () => {
  expect(await under("ulimit -n 888", { INVOCATION_ID: "x" })).toEqual({ soft: 888, hard: 888 });
});
