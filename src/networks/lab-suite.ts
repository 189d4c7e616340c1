import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Lab, LabDaemon } from "./lab.ts";

/** What the tests of a suite share: the host with the outside world, and a daemon that was restored on it. Tests may put another daemon in its place. */
export interface Ground {
  lab: Lab;
  daemon: LabDaemon;
}

// With the namespace of processes everything that a test starts ends with it.
const PRIVATE = ["--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];

/**
 * Tests that change the links and rules of the network namespace they stand in: as root, the file runs again in a child with one of its own, which plays the
 * host. Without root they are skipped.
 */
export function labSuite(title: string, file: string, define: (ground: Ground) => void): void {
  if (process.env["LIGHTER_LAB"] === undefined) return runInChild(title, file);
  setDefaultTimeout(60_000);
  describe(title, () => {
    const ground = {} as Ground;
    beforeAll(async () => {
      ground.lab = await Lab.open();
      // A route of the host that the default bridge has to avoid.
      await Bun.$`ip route add 172.17.0.0/16 via 203.0.113.77`;
      ground.daemon = await LabDaemon.open(ground.lab);
      await ground.daemon.networks.restore([]);
      await ground.lab.echo("outside", ["tcp:9000", "udp:9000"], ground.lab.outside);
    });
    afterAll(async () => {
      await ground.daemon.close();
      ground.daemon.forget();
      ground.lab.close();
    });
    define(ground);
  });
}

function runInChild(title: string, file: string): void {
  const run = async (): Promise<void> => {
    const child = Bun.spawn(["unshare", ...PRIVATE, process.execPath, "test", file], {
      env: { ...process.env, LIGHTER_LAB: "1" },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    expect(code === 0 ? "" : `${output}${errors}`).toBe("");
    expect(errors).toMatch(/\n +[1-9]\d* pass\n/);
  };
  test.if(process.getuid?.() === 0)(`${title}, in a network namespace that plays the host`, run, 300_000);
}
