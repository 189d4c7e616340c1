/** Every flag of run: what the process sees, what inspect says, and the sentences for what means nothing. Deadline: 180 s. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, readFile, readlink, writeFile } from "node:fs/promises";
import type { ContainerInspectResponse, SystemInfo } from "../src/wire/engine-api.ts";
import { testImage } from "../tools/test-images.ts";
import { Client } from "./harness/client.ts";
import { Daemon } from "./harness/daemon.ts";
import { LINES, limit, mount, REFUSED, status } from "./harness/flag-lines.ts";
import { Ground } from "./harness/ground.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  await mkdir(ground.path("source/below"), { recursive: true });
  await writeFile(ground.path("source/file"), "from the host\n");
  await writeFile(ground.path("env"), "# a comment\nA=1\nB=two words\n\nFLAGS_SUITE_UNSET\n");
  await writeFile(ground.path("labels"), "one=1\ntwo\n");
  await ground.lighter.must(
    "run",
    "-d",
    "--name",
    "donor",
    "--ipc",
    "shareable",
    "--shm-size",
    "3m",
    "-v",
    "/anonymous",
    "busybox",
    "sleep",
    "900",
  );
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

function words(flags: string): string[] {
  const platform = process.arch === "x64" ? "amd64" : process.arch;
  const filled = flags
    .replaceAll("SOURCE", ground.path("source"))
    .replaceAll("ENV", ground.path("env"))
    .replaceAll("LABELS", ground.path("labels"))
    .replaceAll("PLATFORM", platform);
  // A space inside of a word is written as one that does not break.
  return filled
    .split(" ")
    .filter(Boolean)
    .map((word) => word.replaceAll("\u00a0", " "));
}

for (const [group, lines] of Object.entries(LINES)) {
  describe(group, () => {
    for (const line of lines)
      test(line.flags || "no flags", async () => {
        const name = ground.name();
        const outcome = await ground.lighter.run([
          "run",
          "--name",
          name,
          ...words(line.flags),
          "busybox",
          "sh",
          "-c",
          line.script ?? "true",
        ]);
        try {
          if (line.inside instanceof RegExp) expect(outcome.stdout.trim()).toMatch(line.inside);
          else if (line.inside !== undefined) expect({ ...outcome, stdout: outcome.stdout.trim() }).toMatchObject({ stdout: line.inside });
          else expect(outcome).toMatchObject({ code: 0 });
          const { HostConfig, Config } = await ground.daemon.json<ContainerInspectResponse>("GET", `/containers/${name}/json`);
          const host = JSON.parse(JSON.stringify(line.host ?? {}).replaceAll("SOURCE", ground.path("source"))) as object;
          expect<unknown>(HostConfig).toMatchObject(host);
          expect<unknown>(Config).toMatchObject(line.config ?? {});
        } finally {
          await ground.daemon.api("DELETE", `/containers/${name}?force=1&v=1`);
        }
      });
  });
}

describe("what means nothing", () => {
  for (const [flags, sentence] of REFUSED)
    test(flags, async () => {
      const name = ground.name();
      const { code, stderr } = await ground.lighter.run(["run", "--name", name, ...words(flags), "busybox", "true"]);
      expect(stderr).toContain(sentence);
      expect([125, 127]).toContain(code);
      const left = await ground.daemon.api("DELETE", `/containers/${name}?force=1&v=1`);
      expect([204, 404]).toContain(left.status);
    });

  test("a NUL byte in any string is refused", async () => {
    for (const body of [
      { WorkingDir: "/a\0b" },
      { Env: ["A=\0"] },
      { Cmd: ["true\0"] },
      { HostConfig: { Binds: ["/a\0:/b"] } },
      { Labels: { "a\0": "b" } },
    ]) {
      const { status, message } = await ground.daemon.failure("POST", "/containers/create", {
        body: { Image: "busybox", Cmd: ["true"], ...body },
      });
      expect({ status, message }).toMatchObject({ status: 400 });
    }
  });
});

test("privileged in exec: all capabilities of a container that has none of them", async () => {
  const show = async (...flags: string[]): Promise<string> =>
    await ground.lighter.must("exec", ...flags, "donor", "sh", "-c", status("CapEff"));
  expect(await show()).toBe("00000000a80425fb");
  expect(BigInt(`0x${await show("--privileged")}`) & 0x200000n).toBe(0x200000n); // sys_admin
});

test("a shared /dev/shm is one for both, and gone with the container", async () => {
  const name = ground.name();
  await ground.lighter.must(
    "run",
    "-d",
    "--name",
    name,
    "--ipc",
    "shareable",
    "busybox",
    "sh",
    "-c",
    "echo hello > /dev/shm/x; exec sleep 600",
  );
  const read = ["run", "--rm", "--ipc", `container:${name}`, "busybox", "sh", "-c", "until grep . /dev/shm/x; do sleep 0.05; done"];
  expect(await ground.lighter.must(...read)).toBe("hello");
  const { Id } = await ground.daemon.json<{ Id: string }>("GET", `/containers/${name}/json`);
  const mounted = async (): Promise<boolean> => (await readFile("/proc/self/mountinfo", "utf8")).includes(`/shm/${Id}`);
  expect(await mounted()).toBe(true);
  await ground.lighter.must("rm", "-f", name);
  expect(await mounted()).toBe(false);
  const { stderr } = await ground.lighter.run(["run", "--rm", "--ipc", `container:${await plain()}`, "busybox", "true"]);
  expect(stderr).toContain("non-shareable IPC (hint: use IpcMode:shareable for the donor container)");
});

async function plain(): Promise<string> {
  const name = ground.name();
  await ground.lighter.must("run", "-d", "--name", name, "busybox", "sleep", "600");
  return name;
}

test("the host's namespaces", async () => {
  const own = async (...kinds: string[]): Promise<string> =>
    (await Promise.all(kinds.map(async (kind) => await readlink(`/proc/self/ns/${kind}`)))).join("\n");
  const seen = async (flag: string, kind: string): Promise<string> =>
    await ground.lighter.must("run", "--rm", ...words(flag), "busybox", "readlink", `/proc/self/ns/${kind}`);
  for (const [flag, kind] of [
    ["--pid host", "pid"],
    ["--ipc host", "ipc"],
    ["--uts host", "uts"],
    ["--network host", "net"],
    ["--cgroupns host", "cgroup"],
  ] as const)
    expect(await seen(flag, kind)).toBe(await own(kind));
});

test("a seccomp profile of one's own, with an argument past 2^53", async () => {
  const path = ground.path("profile.json");
  // The kernel's own comparison is of 64 bits: 2^53 + 1 must not become 2^53.
  const rule =
    '{"names":["lseek"],"action":"SCMP_ACT_ERRNO","errnoRet":38,"args":[{"index":1,"value":9007199254740993,"op":"SCMP_CMP_EQ"}]}';
  const denied = '{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}';
  await writeFile(
    path,
    `{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{"architecture":"SCMP_ARCH_X86_64"},{"architecture":"SCMP_ARCH_AARCH64"}],"syscalls":[${rule},${denied}]}`,
  );
  const { stderr } = await ground.lighter.run(["run", "--rm", "--security-opt", `seccomp=${path}`, "busybox", "mkdir", "/x"]);
  expect(stderr).toMatch(/not supported/i);
  const name = ground.name();
  await ground.lighter.must("create", "--name", name, "--security-opt", `seccomp=${path}`, "busybox", "true");
  const { HostConfig } = await ground.daemon.json<ContainerInspectResponse>("GET", `/containers/${name}/json`);
  expect(HostConfig?.SecurityOpt?.[0]).toContain('"value":9007199254740993');
});

test("a part of an image of several layers: what the upper ones hide is not there", async () => {
  await ground.pull("layered");
  const at = async (subpath: string, script: string): Promise<string> =>
    await ground.lighter.must(
      "run",
      "--rm",
      "--mount",
      `type=image,src=layered,dst=/m,image-subpath=${subpath}`,
      "busybox",
      "sh",
      "-c",
      script,
    );
  const whole = await ground.lighter.must(
    "run",
    "--rm",
    "--mount",
    "type=image,src=layered,dst=/m",
    "busybox",
    "sh",
    "-c",
    "cd /m/data && find . | sort",
  );
  expect(await at("data", "cd /m && find . | sort")).toBe(whole);
  expect(await at("bin/busybox", "cmp /m /bin/busybox && echo same")).toBe("same");
});

test("--rm takes anonymous volumes along, and leaves named ones", async () => {
  const volumes = async (): Promise<string[]> => (await ground.lighter.must("volume", "ls", "-q")).split("\n").sort();
  const before = await volumes();
  await ground.lighter.must("run", "--rm", "-v", "/anonymous", "-v", "flags-named:/named", "busybox", "true");
  expect((await volumes()).filter((volume) => !before.includes(volume))).toEqual(["flags-named"]);
});

test("--workdir is there for cp before the first start", async () => {
  const name = ground.name();
  await ground.lighter.must("create", "--name", name, "-w", "/made/for/this", "busybox", "cat", "file");
  await ground.lighter.must("cp", ground.path("source/file"), `${name}:/made/for/this`);
  expect(await ground.lighter.must("start", "-a", name)).toBe("from the host");
});

test("--cidfile", async () => {
  const path = ground.path("cid");
  const id = await ground.lighter.must("create", "--cidfile", path, "busybox", "true");
  expect(await readFile(path, "utf8")).toBe(id);
  expect((await ground.lighter.run(["create", "--cidfile", path, "busybox", "true"])).stderr).toContain(
    "container ID file found, make sure the other container isn't running or delete",
  );
});

test("--use-api-socket: the daemon answers from inside", async () => {
  const script = "printf 'GET /_ping HTTP/1.0\\r\\n\\r\\n' | nc local:/var/run/docker.sock 2>/dev/null || ls /var/run/docker.sock";
  expect(await ground.lighter.must("run", "--rm", "--use-api-socket", "busybox", "sh", "-c", script)).toMatch(/OK|docker\.sock/);
});

test("--cgroup-parent: below it, and never out of the hierarchy", async () => {
  const { scope } = ground.daemon.names;
  for (const parent of [`/${scope}/flags`, `/x/../${scope}/flags`]) {
    const script = "sed -n 's/.*:pids://p; s/^0:://p' /proc/self/cgroup | sort | tail -1";
    expect(
      await ground.lighter.must("run", "--rm", "--cgroupns", "host", "--cgroup-parent", parent, "busybox", "sh", "-c", script),
    ).toMatch(new RegExp(`/${scope}/flags/[0-9a-f]{64}$`));
  }
});

describe("the daemon's defaults", () => {
  let second: Daemon;
  let client: Client;
  beforeAll(async () => {
    const cdi = ground.path("cdi");
    await mkdir(cdi);
    const edits = {
      env: ["VENDOR=1"],
      deviceNodes: [{ path: "/dev/vendor", hostPath: "/dev/zero", permissions: "r" }],
      mounts: [{ hostPath: ground.path("source"), containerPath: "/vendor", options: ["ro", "rbind"] }],
      hooks: [{ hookName: "createRuntime", path: "/bin/touch", args: ["touch", ground.path("hooked")] }],
    };
    await writeFile(
      `${cdi}/vendor.json`,
      JSON.stringify({ cdiVersion: "0.6.0", kind: "vendor.com/class", devices: [{ name: "one", containerEdits: edits }] }),
    );
    second = new Daemon(
      ground.path("second"),
      words(
        `--default-ulimit nofile=111:222 --default-shm-size 1m --default-ipc-mode shareable --no-new-privileges --seccomp-profile unconfined --init --cdi-spec-dir ${cdi}`,
      ),
    );
    await second.start();
    const loaded = await second.api("POST", "/images/load", { body: await Bun.file((await testImage("busybox")).archive).bytes() });
    expect(await loaded.text()).toContain("busybox:latest");
    client = new Client("lighter", ground.lighter.program, { ...ground.lighter.env, DOCKER_HOST: `unix://${second.socket}` });
  });
  afterAll(async () => await second?.[Symbol.asyncDispose]());

  test("are in force where a container says nothing, in exec, too", async () => {
    const script = `${limit("open files")}; ${mount("/dev/shm")} | grep -o size=.*; ${status("NoNewPrivs")}; ${status("Seccomp")}; cat /proc/1/comm`;
    const wanted = /^111 222 files\s*\nsize=1024k\n1\n0\n(docker-init|tini|catatonit)/;
    await client.must("run", "-d", "--name", "plain", "busybox", "sleep", "600");
    expect(await client.must("exec", "plain", "sh", "-c", script)).toMatch(wanted);
    expect(await client.must("run", "--rm", "busybox", "sh", "-c", script)).toMatch(wanted);
    const { HostConfig } = await second.json<ContainerInspectResponse>("GET", "/containers/plain/json");
    expect<unknown>(HostConfig).toMatchObject({ IpcMode: "shareable", ShmSize: 1 << 20, Ulimits: null });
    const own = words("--ulimit nofile=50:60 --security-opt no-new-privileges=false --security-opt seccomp=builtin --shm-size 2m");
    expect(await client.must("run", "--rm", "--init=false", ...own, "busybox", "sh", "-c", script)).toMatch(
      /^50 60 files\s*\nsize=2048k\n0\n2\n(sh|cat)$/,
    );
  });

  test("info says so", async () => {
    const { SecurityOptions, DiscoveredDevices } = await second.json<SystemInfo>("GET", "/info");
    expect(SecurityOptions).toContain("name=seccomp,profile=unconfined");
    expect(SecurityOptions).toContain("name=no-new-privileges");
    expect<unknown>(DiscoveredDevices).toEqual([{ Source: "cdi", ID: "vendor.com/class=one" }]);
  });

  test("a vendor's device: variable, node, mount and hook", async () => {
    const script = "echo $VENDOR; head -c 2 /dev/vendor | wc -c; cat /vendor/file";
    expect(await client.must("run", "--rm", "--device", "vendor.com/class=one", "busybox", "sh", "-c", script)).toBe("1\n2\nfrom the host");
    expect(await Bun.file(ground.path("hooked")).exists()).toBe(true);
  });
});
