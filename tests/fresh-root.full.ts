/** The two commands in a Debian that has nothing of what they need. Needs the package sources. Deadline: 1200 s. */
import { expect, test } from "bun:test";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { figure } from "./harness/figures.ts";
import { freshRoot } from "./harness/fresh-root.ts";

const MINUTES_10 = 600_000;

for (const suite of ["bookworm", "trixie"] as const) {
  test(
    `${suite}: lists, installs, builds, runs hello-world, and then adds nothing`,
    async () => {
      await using root = await freshRoot(suite);
      const listed = await root.run("LIGHTER_NO_INSTALL=1 ./lighter version", { network: "none", timeout: 10_000 });
      expect(listed.code).toBe(1);
      for (const word of ["crun", "conmon", "nftables", "npm", "bun 1.", "bun.lock", "dist/lighter"]) expect(listed.stderr).toContain(word);

      const begin = performance.now();
      const first = await root.run("./lighter --version", { network: "host", timeout: MINUTES_10 });
      expect({ code: first.code, stderr: first.code === 0 ? "" : first.stderr }).toEqual({ code: 0, stderr: "" });
      expect(first.stdout).toMatch(/^(Lighter|Docker) version /);
      expect(first.stderr).toContain("lighter: installing from the distribution's packages:");
      await figure(
        "fresh-machine",
        `${suite}: from a clone to the first answer of ./lighter`,
        `${((performance.now() - begin) / 1000).toFixed(0)} s`,
      );

      // From here without the machine's network: the pull falls back to the built-in registry.
      const hello = await root.run("./lighter run hello-world; code=$?; ./lighter ps -a --format '{{.Status}}'; exit $code", {
        network: "none",
        timeout: 60_000,
      });
      expect({ code: hello.code, stderr: hello.code === 0 ? "" : hello.stderr }).toEqual({ code: 0, stderr: "" });
      expect(hello.stdout).toContain("Hello from Lighter!");
      expect(hello.stdout).toMatch(/^Exited \(0\)/m);
      expect(hello.stderr).not.toMatch(/installing|building/);

      await mkdir(join(root.path, "usr/local/bin"), { recursive: true });
      await symlink("/root/lighter/lighter", join(root.path, "usr/local/bin/docker"));
      const docker = await root.run("cd / && docker --version", { network: "none", timeout: 10_000 });
      expect(docker.stdout).toMatch(/^Docker version /);
    },
    2 * MINUTES_10,
  );
}

for (const suite of ["bookworm", "trixie"] as const) {
  test(
    `${suite}: ./test, from nothing`,
    async () => {
      await using root = await freshRoot(suite);
      const begin = performance.now();
      const { code, stdout } = await root.run("./test", { network: "host", timeout: 6 * MINUTES_10 });
      const last = stdout.trimEnd().split("\n").at(-1) ?? "";
      expect({ code, output: code === 0 ? "" : stdout.slice(-8000) }).toEqual({ code: 0, output: "" });
      expect(last).toMatch(/^[1-9]\d* passed, 0 failed/);
      await figure(
        "fresh-machine",
        `${suite}: ./test from a clone`,
        `${last}, ${((performance.now() - begin) / 60_000).toFixed(0)} minutes`,
      );
    },
    6 * MINUTES_10,
  );
}

test(
  "bookworm: a step that fails says which, and what to do",
  async () => {
    await using root = await freshRoot("bookworm");
    const { code, stderr } = await root.run("./lighter version", { network: "none", timeout: 120_000 });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^lighter: apt-get (update|install .*) failed\./m);
    expect(stderr).toContain("Check /etc/apt and the network, then run this again.");
  },
  MINUTES_10,
);
