/** Exit codes of run, exec and start, and Docker's texts beside them. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

for (const name of CLIENTS) {
  const run = async (...args: string[]) => await ground.client(name).run(["run", "--rm", ...args]);

  test(`${name}: the container's own code`, async () => {
    for (const code of [0, 1, 3, 125, 126, 127, 255]) expect((await run("busybox", "sh", "-c", `exit ${code}`)).code).toBe(code);
  });

  test(`${name}: 128 and the signal that ended it`, async () => {
    const container = ground.name();
    const running = run("--name", container, "busybox", "sleep", "600");
    await until("it runs", async () => (await ground.lighter.run(["kill", container])).code === 0);
    expect((await running).code).toBe(137);
  });

  test(`${name}: 127 for a command that does not exist`, async () => {
    const { code, stderr } = await run("busybox", "no-such-command");
    expect(code).toBe(127);
    expect(stderr).toContain("no-such-command");
    expect(stderr).toMatch(/executable file not found in \$PATH|no such file or directory/i);
  });

  test(`${name}: 126 for a command that cannot be executed`, async () => {
    const { code, stderr } = await run("busybox", "/etc/passwd");
    expect(code).toBe(126);
    expect(stderr).toMatch(/permission denied/i);
    expect((await run("busybox", "/etc")).code).toBe(126);
  });

  test(`${name}: 125 for what the engine or the client refuses`, async () => {
    expect((await run("--no-such-flag", "busybox")).code).toBe(125);
    expect((await run("--memory", "1", "busybox", "true")).code).toBe(125);
    const unknown = await run(`${ground.registry.host}/no-such-image`);
    expect(unknown.code).toBe(125);
    expect(unknown.stderr).toMatch(/not found|manifest unknown/i);
    expect((await run("UPPER", "true")).stderr).toMatch(/repository name (\(library\/UPPER\) )?must be lowercase/);
  });

  test(`${name}: exec has the codes of run`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("run", "-d", "--name", container, "busybox", "sleep", "600");
    const codes: number[] = [];
    for (const command of [["true"], ["sh", "-c", "exit 7"], ["no-such-command"], ["/etc/passwd"]]) {
      codes.push((await client.run(["exec", container, ...command])).code);
    }
    expect(codes).toEqual([0, 7, 127, 126]);
    await client.must("rm", "-f", container);
  });

  test(`${name}: start -a and wait give the container's code`, async () => {
    const client = ground.client(name);
    const container = ground.name();
    await client.must("create", "--name", container, "busybox", "sh", "-c", "exit 9");
    expect((await client.run(["start", "-a", container])).code).toBe(9);
    expect(await client.must("wait", container)).toBe("9");
    await client.must("rm", container);
  });

  test(`${name}: a container that was refused leaves nothing`, async () => {
    const container = ground.name();
    const client = ground.client(name);
    expect((await client.run(["run", "--name", container, "busybox", "no-such-command"])).code).toBe(127);
    expect(await client.must("ps", "-a", "--filter", `name=${container}`, "--format", "{{.Status}}")).toBe("Created");
    await client.must("rm", container);
  });
}
