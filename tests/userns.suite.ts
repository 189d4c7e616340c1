/** Containers in user namespaces (`userns-remap`), with both runtimes. Deadline: 120 s. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chown, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "bun";
import type { ContainerInspectResponse, SystemInfo } from "../src/wire/engine-api.ts";
import { Client } from "./harness/client.ts";
import { Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
let client: Client;
/** The first number of the containers on the host. */
let first = 0;

/** Where the accounts' files of this suite are. */
let accounts = "";

/** Suites run in mount namespaces of their own: what is made of accounts stays here. */
async function ownAccounts(): Promise<void> {
  accounts = await mkdtemp(join(tmpdir(), "lighter-accounts-"));
  await $`mount -t tmpfs accounts ${accounts} && mkdir ${accounts}/upper ${accounts}/work`;
  await $`mount -t overlay accounts -o lowerdir=/etc,upperdir=${accounts}/upper,workdir=${accounts}/work /etc`;
  // As on a machine that never had the user.
  for (const file of ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"]) {
    const lines = (await readFile(`/etc/${file}`, "utf8").catch(() => "")).split("\n");
    await writeFile(`/etc/${file}`, lines.filter((line) => !line.startsWith("dockremap:")).join("\n"));
  }
}

beforeAll(async () => {
  await ownAccounts();
  ground = await Ground.lay(["busybox", "layered"], ["--userns-remap", "default"]);
  client = ground.lighter;
  await mkdir(ground.path("source"), { mode: 0o777 });
  await $`chmod 777 ${ground.path("source")}`;
  first = Number(/^dockremap:(\d+):65536$/m.exec(await readFile("/etc/subuid", "utf8"))?.[1]);
});
afterAll(async () => {
  await ground?.[Symbol.asyncDispose]();
  if (accounts === "") return;
  await $`umount -l /etc && umount -l ${accounts}`;
  await rm(accounts, { recursive: true });
});

function sh(...args: string[]): Promise<string> {
  return client.must(...args);
}

async function refusal(...args: string[]): Promise<string> {
  const { code, stderr } = await client.run(args);
  expect(code).not.toBe(0);
  return stderr;
}

async function owner(path: string): Promise<string> {
  const { uid, gid } = await lstat(path);
  return `${uid}:${gid}`;
}

test("default makes its user, with numbers that nobody has", async () => {
  expect(await readFile("/etc/passwd", "utf8")).toMatch(/^dockremap:/m);
  expect(await readFile("/etc/subgid", "utf8")).toMatch(new RegExp(`^dockremap:${first}:65536$`, "m"));
  const { SecurityOptions } = await ground.daemon.json<SystemInfo>("GET", "/info");
  expect(SecurityOptions).toContain("name=userns");
});

describe.each(["crun", "runc"].filter((name) => Bun.which(name) !== null))("with %s", (runtime) => {
  const run = (...args: string[]): Promise<string> => sh("run", "--rm", "--runtime", runtime, ...args);

  test("root is somebody else, and owns what is the container's", async () => {
    const script =
      "id -u; cat /proc/self/uid_map; touch /made; stat -c %u:%g /made /bin /etc/hosts /dev/shm; echo out > /dev/stdout; ping -c1 127.0.0.1 | grep -c seq=";
    expect((await run("busybox", "sh", "-c", script)).replace(/ +/g, " ").split("\n")).toEqual([
      "0",
      ` 0 ${first} 65536`,
      "0:0",
      "0:0",
      "0:0",
      "0:0",
      "out",
      "1",
    ]);
  });

  test("a directory of the host belongs to whom it belongs there, and what is made in it to the first number", async () => {
    const source = ground.path("source");
    expect(await run("-v", `${source}:/h`, "busybox", "sh", "-c", `touch /h/${runtime}; stat -c %u /h /h/${runtime}`)).toBe("65534\n0");
    expect(await owner(join(source, runtime))).toBe(`${first}:${first}`);
    const hidden = ground.path(`hidden-${runtime}`, "below");
    await mkdir(hidden, { recursive: true });
    await $`chmod 700 ${ground.path(`hidden-${runtime}`)}`;
    await writeFile(join(hidden, "file"), "read\n");
    expect(await run("-v", `${hidden}:/h:ro`, "busybox", "cat", "/h/file")).toBe("read");
    const missing = ground.path(`missing-${runtime}`);
    await run("-v", `${missing}:/h`, "busybox", "touch", "/h/x");
    expect(await owner(missing)).toBe(`${first}:${first}`);
  });

  test("volumes hold the container's numbers on the disk, and copies of the image's files", async () => {
    const name = `held-${runtime}`;
    await run("-v", `${name}:/etc`, "busybox", "sh", "-c", "touch /etc/mine; chown 7:8 /etc/mine; rm /etc/group");
    const data = join(ground.daemon.dataRoot, "volumes", name, "_data");
    expect([await owner(join(data, "mine")), await owner(join(data, "passwd"))]).toEqual(["7:8", "0:0"]);
    const host = await run("--userns", "host", "-v", `${name}:/v`, "busybox", "stat", "-c", "%u:%g", "/v/mine", "/v/passwd");
    expect(host).toBe("7:8\n0:0");
  });

  test("a volume that is elsewhere gets copies of the image's files that are the container's", async () => {
    const [volume, place] = [`elsewhere-${runtime}`, ground.path(`device-${runtime}`)];
    await mkdir(place);
    await sh("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", `device=${place}`, volume);
    const script = "touch /etc/mine; stat -c %u:%g /etc /etc/mine /etc/passwd";
    expect(await run("-v", `${volume}:/etc`, "busybox", "sh", "-c", script)).toBe("0:0\n0:0\n0:0");
    for (const path of [place, join(place, "passwd"), join(place, "mine")]) expect(await owner(path)).toBe(`${first}:${first}`);
    const empty = ground.path(`empty-${runtime}`);
    await mkdir(empty);
    await sh("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", `device=${empty}`, `${volume}-empty`);
    await run("-v", `${volume}-empty:/new`, "busybox", "touch", "/new/file");
    expect(await owner(join(empty, "file"))).toBe(`${first}:${first}`);
  });

  test("file systems, limits, settings of the network and ports work as without", async () => {
    const flags =
      "--tmpfs /t --shm-size 8m --sysctl net.ipv4.ip_forward=1 --ulimit nofile=100:200 --init --read-only -u 33:44 --ipc shareable";
    const script = "touch /t/x /dev/shm/x; id -u; ulimit -n; cat /proc/sys/net/ipv4/ip_forward; touch /no";
    const { stdout, stderr } = await client.run(["run", "--rm", "--runtime", runtime, ...flags.split(" "), "busybox", "sh", "-c", script]);
    expect(stdout).toBe("33\n100\n1\n");
    expect(stderr).toContain("Read-only file system");
  });

  test("a terminal, an exec, a health check, a stop", async () => {
    const name = ground.name();
    await sh(
      "run",
      "-d",
      "--name",
      name,
      "--runtime",
      runtime,
      "--health-cmd",
      "echo fine > /dev/stdout",
      "--health-interval",
      "1s",
      "-t",
      "busybox",
      "sleep",
      "900",
    );
    expect(await sh("exec", name, "sh", "-c", "id -u; echo again > /dev/stdout; stat -c %u /proc/1/fd/0")).toBe("0\nagain\n0");
    expect(await sh("exec", "--privileged", name, "grep", "CapEff", "/proc/self/status")).toMatch(/CapEff:\s+[0-9a-f]{10}[2367abef]/);
    await until("the check has passed", async () => (await sh("inspect", "-f", "{{.State.Health.Status}}", name)) === "healthy");
    const { State } = await ground.daemon.json<ContainerInspectResponse>("GET", `/containers/${name}/json`);
    expect((await readFile(`/proc/${State?.Pid}/uid_map`, "utf8")).trim().split(/ +/)).toEqual(["0", String(first), "65536"]);
    // Its network is its own to change.
    expect(await sh("exec", name, "readlink", "/proc/1/ns/user")).toBe(await readlink(`/proc/${State?.Pid}/ns/user`));
    await sh("stop", "-t", "0", name);
    await sh("start", name);
    expect(await sh("exec", name, "id", "-u")).toBe("0");
    await sh("rm", "-f", name);
  });
});

test("layers and what was written belong to the numbers inside, on the disk", async () => {
  const name = ground.name();
  await sh("run", "--name", name, "layered", "sh", "-c", "echo x > /new; chown 5:6 /new; chown 1:1 /bin");
  const { GraphDriver } = await ground.daemon.json<ContainerInspectResponse>("GET", `/containers/${name}/json`);
  const { UpperDir = "", LowerDir = "" } = (GraphDriver?.Data ?? {}) as Record<string, string>;
  const upper =
    UpperDir === "" ? join(ground.daemon.dataRoot, "containers", await sh("inspect", "-f", "{{.Id}}", name), "upper") : UpperDir;
  expect([await owner(join(upper, "new")), await owner(join(upper, "bin"))]).toEqual(["5:6", "1:1"]);
  for (const layer of LowerDir.split(":").filter(Boolean)) expect((await stat(layer)).uid).toBe(0);
  expect((await sh("diff", name)).split("\n").sort()).toEqual(["A /new", "C /bin"]);
  const listed = await $`sh -c ${`${client.line("export", name)} | tar --numeric-owner -tvf -`}`.text();
  expect(listed).toMatch(/ 5\/6 .* new$/m);
  await sh("commit", name, "grown");
  expect(await sh("run", "--rm", "grown", "stat", "-c", "%u:%g", "/new", "/bin")).toBe("5:6\n1:1");
  expect(await sh("run", "--rm", "--userns", "host", "grown", "stat", "-c", "%u:%g", "/new", "/bin")).toBe("5:6\n1:1");
  await sh("rm", name);
});

test("cp tells and makes the numbers inside, whether the container runs or not", async () => {
  const name = ground.name();
  const folder = ground.path("given");
  await mkdir(folder);
  await writeFile(join(folder, "file"), "given\n");
  for (const path of [folder, join(folder, "file")]) await chown(path, 3, 4);
  await sh("run", "-d", "--name", name, "-v", "copied:/volume", "--tmpfs", "/memory", "busybox", "sleep", "900");
  const places = ["/", "/volume", "/memory"];
  for (const place of places) await sh("cp", "-a", folder, `${name}:${place}`);
  const files = places.map((place) => join(place, "given/file"));
  expect(await sh("exec", name, "stat", "-c", "%u:%g", ...files)).toBe("3:4\n3:4\n3:4");
  const told = async (path: string): Promise<string> =>
    $`sh -c ${`${client.line("cp", `${name}:${path}`, "-")} | tar --numeric-owner -tvf -`}`.text();
  for (const file of files) expect(await told(file)).toMatch(/^-\S+ 3\/4 /);
  await chown(join(folder, "file"), 70000, 4);
  expect(await refusal("cp", "-a", folder, `${name}:/other`)).toContain("the container has no user 70000");
  await chown(join(folder, "file"), 3, 4);
  await sh("stop", "-t", "0", name);
  expect(await told("/given/file")).toMatch(/^-\S+ 3\/4 /);
  await sh("cp", "-a", folder, `${name}:/later`);
  await sh("start", name);
  expect(await sh("exec", name, "stat", "-c", "%u:%g", "/later/file", "/volume/given/file")).toBe("3:4\n3:4");
  await sh("rm", "-f", name);
});

test("cp to and from a directory of the host means the numbers inside, also where the container does not run", async () => {
  const name = ground.name();
  const [shared, archive] = [ground.path("shared"), ground.path("archive")];
  for (const folder of [shared, join(archive, "bind")]) await mkdir(folder, { recursive: true });
  for (const file of ["one", "bind/two"]) await writeFile(join(archive, file), "given\n", { mode: 0o755 });
  await sh("create", "--name", name, "-v", `${shared}:/bind`, "-v", "beside:/kept", "busybox", "sleep", "900");
  const copy = (from: string, to: string) =>
    $`sh -c ${`tar --owner=3 --group=4 --numeric-owner -C ${archive} -c ${from} | ${client.line("cp", "-", `${name}:${to}`)}`}`;
  const told = async (path: string): Promise<string> =>
    $`sh -c ${`${client.line("cp", `${name}:${path}`, "-")} | tar --numeric-owner -tvf -`}`.text();
  const look = async (): Promise<void> => {
    await copy("one", "/bind/");
    await copy("one", "/kept/");
    await copy("bind/two", "/");
    for (const file of ["one", "two"]) expect(await owner(join(shared, file))).toBe(`${first + 3}:${first + 4}`);
    for (const path of ["/bind/one", "/bind/two", "/kept/one"]) expect(await told(path)).toMatch(/^-\S+ 3\/4 /);
  };
  await look();
  expect(await told("/bind")).toMatch(/^-\S+ 3\/4 .* bind\/two$/m);
  await sh("start", name);
  await look();
  expect(await sh("exec", name, "stat", "-c", "%u:%g", "/bind/one", "/bind/two", "/kept/one")).toBe("3:4\n3:4\n3:4");
  await sh("rm", "-f", name);
});

test("what only the host's root may have is refused in Docker's words, and open with --userns host", async () => {
  expect(await refusal("run", "--rm", "--privileged", "busybox", "true")).toContain(
    "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
  );
  expect(await refusal("run", "--rm", "--network", "host", "busybox", "true")).toContain(
    "cannot share the host's network namespace when user namespaces are enabled",
  );
  expect(await refusal("run", "--rm", "--pid", "host", "busybox", "true")).toContain(
    "cannot share the host PID namespace when user namespaces are enabled",
  );
  const all = ["--userns", "host", "--network", "host", "--pid", "host"];
  expect((await sh("run", "--rm", ...all, "busybox", "cat", "/proc/self/uid_map")).trim().split(/ +/)).toEqual(["0", "0", "4294967295"]);
});

test("who joins a container's namespaces joins its users, and must have the same", async () => {
  const [one, other] = [ground.name(), ground.name()];
  await sh("run", "-d", "--name", one, "--ipc", "shareable", "busybox", "sleep", "900");
  await sh("run", "-d", "--name", other, "--userns", "host", "busybox", "sleep", "900");
  const users = await sh("exec", one, "readlink", "/proc/self/ns/user");
  for (const flag of ["--network", "--pid", "--ipc"])
    expect(await sh("run", "--rm", flag, `container:${one}`, "busybox", "readlink", "/proc/self/ns/user")).toBe(users);
  await sh("run", "--rm", "--ipc", `container:${one}`, "busybox", "touch", "/dev/shm/shared");
  expect(await sh("exec", one, "stat", "-c", "%u", "/dev/shm/shared")).toBe("0");
  expect(await refusal("run", "--rm", "--pid", `container:${other}`, "busybox", "true")).toContain("its users are other ones");
  await sh("rm", "-f", one, other);
});

test("a network of its own: names, published ports, connect", async () => {
  const [web, net] = [ground.name(), ground.name()];
  await sh("network", "create", net);
  await sh(
    "run",
    "-d",
    "--name",
    web,
    "--network",
    net,
    "-p",
    "127.0.0.1::80",
    "busybox",
    "sh",
    "-c",
    "mkdir /w; echo hello > /w/index.html; exec httpd -f -p 80 -h /w",
  );
  const port = /:(\d+)$/.exec(await sh("port", web, "80"))?.[1];
  await until(
    "it answers",
    async () =>
      (await fetch(`http://127.0.0.1:${port}/`).then(
        (answer) => answer.text(),
        () => "",
      )) === "hello\n",
  );
  expect(await sh("run", "--rm", "--network", net, "busybox", "wget", "-qO-", `http://${web}/`)).toBe("hello");
  await sh("network", "connect", "bridge", web);
  expect(await sh("exec", web, "ls", "/sys/class/net")).toContain("eth1");
  await sh("rm", "-f", web);
  await sh("network", "rm", net);
});

test("mounts that come while it runs have the owners that they will have", async () => {
  const name = ground.name();
  await sh("run", "-d", "--name", name, "busybox", "sleep", "900");
  await sh("run", "--rm", "-v", "later:/v", "busybox", "touch", "/v/file");
  await sh("update", "--mount", "type=volume,source=later,target=/new/volume", name);
  await sh("update", "--mount", `type=bind,source=${ground.path("source")},target=/new/bind`, name);
  await sh("update", "--mount", "type=tmpfs,target=/new/memory", name);
  const look = (): Promise<string> => sh("exec", name, "stat", "-c", "%u", "/new", "/new/volume/file", "/new/bind", "/new/memory");
  expect(await look()).toBe("0\n0\n65534\n0");
  await sh("restart", "-t", "0", name);
  expect(await look()).toBe("0\n0\n65534\n0");
  await sh("rm", "-f", name);
});

test("a debug session joins the users of one that runs", async () => {
  const name = ground.name();
  await sh("run", "-d", "--name", name, "busybox", "sleep", "900");
  expect(await sh("debug", name, "sh", "-c", "touch /target/seen; stat -c %u /target/seen")).toEndWith("0");
  expect(await sh("exec", name, "stat", "-c", "%u", "/seen")).toBe("0");
  await sh("rm", "-f", name);
});

test("containers keep their users when the daemon dies and when the setting goes; volumes and images are everybody's", async () => {
  const name = ground.name();
  await sh("run", "-d", "--name", name, "--restart", "always", "-v", "everybody:/v", "busybox", "sh", "-c", "touch /v/old; sleep 900");
  await ground.daemon.end("SIGKILL");
  ground.daemon.flags.splice(0);
  await ground.daemon.start();
  const map = async (): Promise<string[]> => (await sh("exec", name, "cat", "/proc/self/uid_map")).trim().split(/ +/);
  expect(await map()).toEqual(["0", String(first), "65536"]);
  await sh("restart", "-t", "0", name);
  expect(await map()).toEqual(["0", String(first), "65536"]);
  const script = "cat /proc/self/uid_map; stat -c %u /v/old; touch /v/new";
  expect((await sh("run", "--rm", "-v", "everybody:/v", "busybox", "sh", "-c", script)).replace(/ +/g, " ")).toBe(" 0 0 4294967295\n0");
  expect(await sh("exec", name, "stat", "-c", "%u", "/v/new")).toBe("0");
  await sh("rm", "-f", name);
  expect(await readdir(join(ground.daemon.execRoot, "rootfs"))).toEqual([]);
});

test("a user without numbers, a folder that is closed and a wrong word are told of at the start", async () => {
  const failed = async (...flags: string[]): Promise<string> => {
    const { command } = ground.daemon;
    const folder = ground.path("refused");
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const own = ["--data-root", join(folder, "data"), "--exec-root", join(folder, "run"), "-H", `unix://${folder}/sock`];
    const child = Bun.spawn([command[0] ?? "", "daemon", ...own, ...flags], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    expect(code).not.toBe(0);
    return out + err;
  };
  expect(await failed("--userns-remap", "nobody-at-all")).toContain('there is no user "nobody-at-all" in /etc/passwd');
  expect(await failed("--userns-remap", "daemon")).toContain('/etc/subuid gives user "daemon" no numbers');
  expect(await failed("--userns-remap", "dockremap")).toContain("may not pass through");
});
