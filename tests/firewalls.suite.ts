/** Published ports obey the firewalls that people have: Debian's ufw and firewalld, with a host outside. Deadline: 300 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readlink } from "node:fs/promises";
import { must, run } from "../tools/shell.ts";
import { FirewallRoot } from "./harness/firewall-root.ts";
import { Ground } from "./harness/ground.ts";
import { SLOW, until } from "./harness/until.ts";

const HOST = "203.0.113.1";
const OUTSIDE = "203.0.113.2";
const STRANGER = "203.0.113.9";
/** Milliseconds for a test on a machine that does much else: firewalls take seconds for a command. */
const PATIENCE = 120_000 * SLOW;
const NEEDED = "import dbus, gi; import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else 1)";

let ground: Ground;
let outside: ReturnType<typeof Bun.spawn>;
let firewall: FirewallRoot;
beforeAll(async () => {
  outside = Bun.spawn(["unshare", "--net", "sleep", "900"]);
  await until(
    "the outside is there",
    async () => (await readlink(`/proc/${outside.pid}/ns/net`)) !== (await readlink("/proc/self/ns/net")),
  );
  await must([
    "sh",
    "-c",
    `ip link add out0 type veth peer name in0 netns ${outside.pid}; ip addr add ${HOST}/24 dev out0; ip link set out0 up`,
  ]);
  await must([...there(), "ip", "link", "set", "in0", "up"]);
  await become(OUTSIDE);
  ground = await Ground.lay(["busybox"]);
  firewall = await FirewallRoot.open(ground.path("firewall"));
  const script = "echo here > /tmp/index.html; nc -ll -p 81 -e cat & exec httpd -f -p 80 -h /tmp";
  const ports = ["-p", "8080:80", "-p", "8443:80", "-p", "8081:81"];
  await ground.lighter.must("run", "-d", "--name", "web", ...ports, "busybox", "sh", "-c", script);
  await Promise.all([8080, 8443, 8081].map((port) => reaches(port, "open")));
});
afterAll(async () => {
  await firewall?.[Symbol.asyncDispose]();
  await ground?.[Symbol.asyncDispose]();
  outside?.kill();
});

function there(): string[] {
  return ["nsenter", "--net", "--target", String(outside.pid)];
}

/** Gives the outside an address. */
async function become(address: string): Promise<void> {
  await must([...there(), "sh", "-c", `ip addr flush dev in0; ip addr add ${address}/24 dev in0`]);
}

/** Whether a port answers: the outside, or the host itself. */
async function answers(port: number, from?: "host"): Promise<"open" | "closed"> {
  const script = `exec 3<>/dev/tcp/${HOST}/${port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && head -n1 <&3`;
  const { stdout } = await run([...(from === "host" ? [] : there()), "timeout", "1", "bash", "-c", script]);
  return stdout === "" ? "closed" : "open";
}

/** Waits until a port is as it should be for the outside. */
async function reaches(port: number, wanted: "open" | "closed"): Promise<void> {
  await until(`port ${port} is ${wanted}`, async () => (await answers(port)) === wanted);
}

/** What `lighter ports` says of a port. */
async function told(port: number): Promise<{ Outside: string; Why: string }> {
  const lines = await ground.lighter.must("ports", "--format", "json", "web");
  const rows = lines.split("\n").map((line) => JSON.parse(line) as { Port: string; Outside: string; Why: string });
  const found = rows.find(({ Port }) => Port === `0.0.0.0:${port}`);
  if (found === undefined) throw new Error(`lighter ports does not name port ${port}: ${lines}`);
  return found;
}

/** A connection from outside to the container's echo, kept open over what comes. */
function conversation(): { say(line: string): Promise<string>; end(): void } {
  const script = `exec 3<>/dev/tcp/${HOST}/8081; while read -r line; do echo "$line" >&3; read -r -t 20 answer <&3; echo "$answer"; done`;
  const child = Bun.spawn([...there(), "bash", "-c", script], { stdin: "pipe", stdout: "pipe", stderr: "ignore" });
  const reader = child.stdout.getReader();
  return {
    async say(line) {
      void child.stdin.write(`${line}\n`);
      await child.stdin.flush();
      return Buffer.from((await reader.read()).value ?? [])
        .toString()
        .trim();
    },
    end: () => child.kill(),
  };
}

/** Containers get out, the host reaches its own port, and connections that stand go on. */
async function restWorks(talk: ReturnType<typeof conversation>): Promise<void> {
  await until("the host reaches its own port", async () => (await answers(8080, "host")) === "open");
  await until("a container reaches the outside", async () => {
    const ping = ["exec", "web", "ping", "-c1", "-W1", OUTSIDE];
    return (await ground.lighter.run(ping)).code === 0;
  });
  expect(await talk.say("still there")).toBe("still there");
}

test(
  "ufw: closed by default, opened by a rule, for one sender by another; a reload and its end",
  async () => {
    const talk = conversation();
    expect(await talk.say("hello")).toBe("hello");
    await firewall.must("ufw", "--force", "enable");
    await Promise.all([8080, 8443, 8081].map((port) => reaches(port, "closed")));
    expect(await told(8080)).toMatchObject({ Outside: "closed", Why: expect.stringContaining("ip filter") });
    await restWorks(talk);
    await firewall.must("ufw", "allow", "8080/tcp");
    await reaches(8080, "open");
    expect(await told(8080)).toMatchObject({ Outside: "open", Why: expect.stringContaining("ufw-user-input") });
    await firewall.must("ufw", "allow", "from", STRANGER, "to", "any", "port", "8443", "proto", "tcp");
    expect(await answers(8443)).toBe("closed");
    await until("ports tells of the sender", async () => (await told(8443)).Why.includes(`only from ${STRANGER}`));
    await become(STRANGER);
    await reaches(8443, "open");
    await become(OUTSIDE);
    await reaches(8443, "closed");
    await firewall.must("ufw", "reload");
    await restWorks(talk);
    await reaches(8080, "open");
    await firewall.must("ufw", "delete", "allow", "8080/tcp");
    await reaches(8080, "closed");
    await firewall.must("ufw", "disable");
    await Promise.all([8080, 8443].map((port) => reaches(port, "open")));
    expect(await told(8080)).toMatchObject({ Outside: "open" });
    talk.end();
  },
  PATIENCE,
);

const hasFirewalld = Bun.which("dbus-daemon") !== null && Bun.spawnSync(["/usr/bin/python3", "-c", NEEDED]).exitCode === 0;

test.if(hasFirewalld)(
  "firewalld: closed by its zone, opened by a port, for one sender by a rich rule; a reload and its end",
  async () => {
    const talk = conversation();
    expect(await talk.say("hello")).toBe("hello");
    firewall.start("dbus-daemon", "--system", "--nofork", "--nopidfile");
    const daemon = firewall.start("firewalld", "--nofork", "--nopid");
    await until("firewalld runs", async () => (await firewall.run("firewall-cmd", "--state")).code === 0, { timeout: 60_000, every: 300 });
    await Promise.all([8080, 8443].map((port) => reaches(port, "closed")));
    expect(await told(8080)).toMatchObject({ Outside: "closed", Why: expect.stringContaining("inet firewalld") });
    await restWorks(talk);
    await firewall.must("firewall-cmd", "--add-port=8080/tcp");
    await reaches(8080, "open");
    expect(await told(8080)).toMatchObject({ Outside: "open", Why: expect.stringContaining("filter_IN_public_allow") });
    await firewall.must("firewall-cmd", `--add-rich-rule=rule family=ipv4 source address=${OUTSIDE} port port=8443 protocol=tcp accept`);
    await reaches(8443, "open");
    await until("ports tells of the sender", async () => (await told(8443)).Why.includes(`only from ${OUTSIDE}`));
    await firewall.must("firewall-cmd", "--reload");
    await Promise.all([8080, 8443].map((port) => reaches(port, "closed")));
    await restWorks(talk);
    daemon.kill("SIGTERM");
    await daemon.exited;
    await Promise.all([8080, 8443].map((port) => reaches(port, "open")));
    talk.end();
  },
  PATIENCE,
);
