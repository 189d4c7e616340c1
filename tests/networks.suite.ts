/** Networks as far as `run` needs them: bridge with NAT, published ports, none, host, container. Deadline: 240 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { readlink } from "node:fs/promises";
import { must } from "../tools/shell.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { freePort } from "./harness/ports.ts";
import { until } from "./harness/until.ts";

/** A host without IPv6 publishes on IPv4 alone. */
const SIX = existsSync("/proc/net/if_inet6") && readFileSync("/proc/net/if_inet6", "utf8") !== "";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox", "debian", "dnsmasq"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

/** A container with a web server that serves one word. */
async function server(word: string, ...flags: string[]): Promise<string> {
  const name = ground.name();
  const script = `mkdir /www; echo ${word} > /www/index.html; exec httpd -f -p 80 -h /www`;
  await ground.lighter.must("run", "-d", "--name", name, ...flags, "busybox", "sh", "-c", script);
  return name;
}

async function address(name: string): Promise<string> {
  return await ground.lighter.must("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name);
}

async function serves(url: string, word: string): Promise<void> {
  await until(
    `${url} serves ${word}`,
    async () => (await (await fetch(url, { signal: AbortSignal.timeout(1000) })).text()) === `${word}\n`,
  );
}

test("-p: a TCP port answers on loopback and on the machine's address, and is free afterwards", async () => {
  const port = freePort();
  const name = await server("published", "-p", `${port}:80`);
  await serves(`http://127.0.0.1:${port}/`, "published");
  if (SIX) await serves(`http://[::1]:${port}/`, "published");
  const gateway = await ground.lighter.must("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", name);
  await serves(`http://${gateway}:${port}/`, "published");
  expect(await ground.lighter.must("ps", "--filter", `name=${name}`, "--format", "{{.Ports}}")).toBe(
    `0.0.0.0:${port}->80/tcp${SIX ? `, [::]:${port}->80/tcp` : ""}`,
  );
  await ground.lighter.must("rm", "-f", name);
  expect(await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1000) }).catch(() => "refused")).toBe("refused");
  Bun.listen({ hostname: "0.0.0.0", port, socket: { data() {} } }).stop(true);
});

test("-p on one address, with a port of our choice, and -P", async () => {
  const name = await server("chosen", "-p", "127.0.0.1::80", "--expose", "81");
  const ports = await ground.daemon.json<{ NetworkSettings: { Ports: Record<string, { HostIp: string; HostPort: string }[] | null> } }>(
    "GET",
    `/containers/${name}/json`,
  );
  const binding = ports.NetworkSettings.Ports["80/tcp"]?.[0];
  expect(binding?.HostIp).toBe("127.0.0.1");
  expect(ports.NetworkSettings.Ports["81/tcp"] ?? null).toBeNull();
  await serves(`http://127.0.0.1:${binding?.HostPort}/`, "chosen");
  await ground.lighter.must("rm", "-f", name);
});

test("-p: a UDP port answers", async () => {
  const port = freePort();
  const name = ground.name();
  const echo =
    "use Socket; socket(S, PF_INET, SOCK_DGRAM, 0); bind(S, pack_sockaddr_in(5000, INADDR_ANY)); while ($from = recv(S, $b, 2000, 0)) { send(S, $b, 0, $from) }";
  await ground.lighter.must("run", "-d", "--name", name, "-p", `${port}:5000/udp`, "debian", "perl", "-e", echo);
  const answers: string[] = [];
  const socket = await Bun.udpSocket({ socket: { data: (_, data) => void answers.push(data.toString()), error: () => undefined } });
  await until(
    "the datagram comes back",
    () => {
      socket.send("ping over udp\n", port, "127.0.0.1");
      return answers.length > 0;
    },
    { every: 200 },
  );
  expect(answers[0]).toBe("ping over udp\n");
  socket.close();
  await ground.lighter.must("rm", "-f", name);
});

test("a port that is in use is refused with Docker's text, and nothing half-made stays", async () => {
  const port = freePort();
  const first = await server("first", "-p", `${port}:80`);
  const second = ground.name();
  const refused = await ground.lighter.run(["run", "-d", "--name", second, "-p", `${port}:80`, "busybox", "sleep", "600"]);
  expect(refused.code).toBe(125);
  expect(refused.stderr).toContain("port is already allocated");
  expect((await ground.daemon.failure("POST", `/containers/${second}/start`)).status).toBe(500);
  expect(await ground.lighter.must("inspect", "-f", "{{.State.Status}}", second)).toBe("created");
  const listener = Bun.listen({ hostname: "0.0.0.0", port: 0, socket: { data() {} } });
  const foreign = await ground.lighter.run(["run", "--rm", "-p", `${listener.port}:80`, "busybox", "true"], { timeout: 10_000 });
  expect(foreign.code).toBe(125);
  expect(foreign.stderr).toMatch(/address already in use|port is already allocated/);
  listener.stop(true);
  await ground.lighter.must("rm", "-f", first);
  await ground.lighter.must("start", second);
  await ground.lighter.must("rm", "-f", second);
});

test("containers of the bridge reach each other and have addresses of one subnet", async () => {
  const first = await server("neighbour");
  const ip = await address(first);
  const { stdout } = await ground.lighter.run(["run", "--rm", "busybox", "wget", "-qO-", `http://${ip}/`]);
  expect(stdout).toBe("neighbour\n");
  const own = await ground.lighter.run([
    "run",
    "--rm",
    "busybox",
    "sh",
    "-c",
    "ip -o -4 addr show eth0; ip route; cat /etc/resolv.conf | grep -c nameserver",
  ]);
  expect(own.stdout).toContain(`inet ${ip.split(".").slice(0, 2).join(".")}.`);
  expect(own.stdout).toMatch(/^default via /m);
  await ground.lighter.must("rm", "-f", first);
});

test("what leaves the bridge carries the machine's address", async () => {
  const outside = Bun.spawn(["unshare", "--net", "sleep", "600"]);
  await until(
    "the other network is there",
    async () => (await readlink(`/proc/${outside.pid}/ns/net`)) !== (await readlink("/proc/self/ns/net")),
  );
  const enter = ["nsenter", "--net", "--target", String(outside.pid)];
  await must([
    "sh",
    "-c",
    `ip link add out0 type veth peer name in0 && ip link set in0 netns ${outside.pid} && ip addr add 203.0.113.1/24 dev out0 && ip link set out0 up`,
  ]);
  await must([...enter, "sh", "-c", "ip link set lo up; ip addr add 203.0.113.2/24 dev in0; ip link set in0 up"]);
  const script =
    "Bun.serve({ hostname: '203.0.113.2', port: 8080, fetch: (request, server) => new Response(server.requestIP(request).address + '\\n') })";
  const far = Bun.spawn([...enter, process.execPath, "-e", script]);
  await until("the far server answers", async () => (await (await fetch("http://203.0.113.2:8080/")).text()) === "203.0.113.1\n");
  const request = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 30 203.0.113.2 8080 | tail -n 1";
  const { stdout, stderr } = await ground.lighter.run(["run", "--rm", "busybox", "sh", "-c", request]);
  expect(stdout + stderr).toBe("203.0.113.1\n");
  far.kill();
  outside.kill();
  await must(["ip", "link", "del", "out0"]);
});

test("--network none has a loopback device alone, host is the machine's, container: another's", async () => {
  const links = async (...flags: string[]): Promise<string[]> => {
    const { stdout } = await ground.lighter.run([
      "run",
      "--rm",
      ...flags,
      "busybox",
      "sh",
      "-c",
      "ls /sys/class/net; readlink /proc/self/ns/net",
    ]);
    return stdout.trim().split("\n");
  };
  const none = (await ground.lighter.run(["run", "--rm", "--network", "none", "busybox", "ip", "-o", "link"])).stdout;
  expect([...none.matchAll(/^\d+: (\w+)/gm)].map(([, name]) => name)).toEqual(["lo"]);
  expect((await links("--network", "host")).at(-1)).toBe(await readlink("/proc/self/ns/net"));
  const first = await server("shared");
  const namespace = await ground.lighter.must("exec", first, "readlink", "/proc/self/ns/net");
  expect((await links("--network", `container:${first}`)).at(-1)).toBe(namespace);
  const { stdout } = await ground.lighter.run([
    "run",
    "--rm",
    "--network",
    `container:${first}`,
    "busybox",
    "wget",
    "-qO-",
    "http://127.0.0.1/",
  ]);
  expect(stdout).toBe("shared\n");
  await ground.lighter.must("rm", "-f", first);
});

test.each([
  ["a network", "no-such", "network no-such not found"],
  ["a container's network", "container:no-such", "No such container: no-such"],
])("%s that is not there fails the start, not the create, as with Docker", async (_, network, text) => {
  const { code, stderr } = await ground.lighter.run(["run", "--name", "nowhere", "--network", network, "busybox", "true"]);
  expect(code).toBe(125);
  expect(stderr).toContain(text);
  expect(stderr).not.toContain("Unable to find image");
  expect(await ground.daemon.failure("POST", "/containers/nowhere/start")).toEqual({ status: 404, message: text });
  await ground.lighter.must("rm", "-f", "nowhere");
});

test("--add-host and --dns are in the container's files", async () => {
  const { stdout } = await ground.lighter.run([
    "run",
    "--rm",
    "--add-host",
    "far.example:192.0.2.7",
    "--dns",
    "192.0.2.53",
    "--dns-search",
    "example",
    "busybox",
    "cat",
    "/etc/hosts",
    "/etc/resolv.conf",
  ]);
  expect(stdout).toMatch(/^192\.0\.2\.7\s+far\.example$/m);
  expect(stdout).toMatch(/^nameserver 192\.0\.2\.53$/m);
  expect(stdout).toMatch(/^search example$/m);
});

test.each(CLIENTS)("%s: ports of both families and ranges, as docker prints them", async (client) => {
  const name = ground.name();
  const [one, first] = [freePort(), Math.min(freePort(), 65_000)];
  const last = first + 2;
  await ground
    .client(client)
    .must("run", "-d", "--name", name, "-p", `${one}:80`, "-p", `${first}-${last}:${first}-${last}/udp`, "busybox", "sleep", "600");
  // Older clients write :::80 for [::]:80.
  const told = async (...words: string[]): Promise<string> =>
    (await ground.client(client).must(...words)).replaceAll(/(?<![\w\]]):::/g, "[::]:");
  const both = (port: string): string[] => [`0.0.0.0:${port}`, ...(SIX ? [`[::]:${port}`] : [])];
  expect((await told("ps", "--filter", `name=${name}`, "--format", "{{.Ports}}")).split(", ").toSorted()).toEqual(
    [...both(String(one)).map((at) => `${at}->80/tcp`), ...both(`${first}-${last}`).map((at) => `${at}->${first}-${last}/udp`)].toSorted(),
  );
  const lines = [80, first, first + 1, last].flatMap((port) =>
    both(String(port === 80 ? one : port)).map((at) => `${port === 80 ? "80/tcp" : `${port}/udp`} -> ${at}`),
  );
  expect((await told("port", name)).split("\n").toSorted()).toEqual(lines.toSorted());
  await ground.client(client).must("rm", "-f", name);
});

test("a stopped container's port is free, and its again after start", async () => {
  const port = freePort();
  const name = await server("back", "-p", `${port}:80`);
  await serves(`http://127.0.0.1:${port}/`, "back");
  await ground.lighter.must("stop", "-t", "0", name);
  Bun.listen({ hostname: "0.0.0.0", port, socket: { data() {} } }).stop(true);
  await ground.lighter.must("start", name);
  await serves(`http://127.0.0.1:${port}/`, "back");
  await ground.lighter.must("rm", "-f", name);
});

test("a published port outlives the daemon", async () => {
  const port = freePort();
  const name = await server("steady", "-p", `${port}:80`);
  await serves(`http://127.0.0.1:${port}/`, "steady");
  const everywhere = ["127.0.0.1", ...(SIX ? ["[::1]"] : [])];
  for (const host of everywhere) await serves(`http://${host}:${port}/`, "steady");
  await ground.daemon.end("SIGKILL");
  for (const host of everywhere) await serves(`http://${host}:${port}/`, "steady");
  expect(() => Bun.listen({ hostname: "0.0.0.0", port, socket: { data() {} } })).toThrow("Failed to listen");
  await ground.daemon.start();
  for (const host of everywhere) await serves(`http://${host}:${port}/`, "steady");
  await ground.lighter.must("rm", "-f", name);
});

test.each(CLIENTS)("%s: --link: names, hosts, another address, rename, rm --link", async (name) => {
  const client = ground.client(name);
  const [child, parent] = [ground.name(), ground.name()];
  await client.must("run", "-d", "--name", child, "busybox", "sleep", "600");
  await client.must("run", "-d", "--name", parent, "--link", `${child}:db`, "--link", child, "busybox", "sleep", "600");
  const names = async (): Promise<string> => await client.must("ps", "--no-trunc", "--filter", `name=${child}`, "--format", "{{.Names}}");
  const links = async (): Promise<unknown> => JSON.parse(await client.must("inspect", "-f", "{{json .HostConfig.Links}}", parent));
  const hosts = async (): Promise<string[]> =>
    (await client.must("exec", parent, "cat", "/etc/hosts")).split("\n").filter((line) => line.includes(id));
  const id = (await client.must("inspect", "-f", "{{.Id}}", `${parent}/db`)).slice(0, 12);
  expect((await names()).split(",").toSorted()).toEqual([child, `${parent}/db`, `${parent}/${child}`].toSorted());
  expect(await links()).toEqual([`/${child}:/${parent}/db`, `/${child}:/${parent}/${child}`]);
  expect(await hosts()).toEqual([`${await address(child)}\tdb ${id} ${child}`, `${await address(child)}\t${child} ${id}`]);
  await client.must("exec", parent, "ping", "-c1", "db");

  await client.must("rename", child, `${child}-x`);
  await client.must("stop", "-t", "0", `${child}-x`);
  const thief = ground.name();
  await client.must("run", "-d", "--name", thief, "busybox", "sleep", "600");
  await client.must("start", `${child}-x`);
  const moved = await address(`${child}-x`);
  expect(await hosts()).toEqual([`${moved}\tdb ${id} ${child}-x`, `${moved}\t${child} ${id} ${child}-x`]);

  expect(await client.must("rm", "--link", `${parent}/db`)).toBe(`${parent}/db`);
  expect(await links()).toEqual([`/${child}-x:/${parent}/${child}`]);
  expect(await hosts()).toEqual([`${moved}\t${child} ${id} ${child}-x`]);
  const refused = await client.run(["rm", "--link", parent]);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringContaining("Conflict, cannot remove the default link name of the container"),
  ]);
  await client.must("stop", "-t", "0", parent, `${child}-x`);
  const alone = await client.run(["start", parent]);
  expect(alone.stderr).toContain(`Cannot link to a non running container: /${child}-x AS /${parent}/${child}`);
  await client.must("rm", "-f", `${child}-x`, thief);
  expect(await links()).toBeNull();
  await client.must("start", parent);
  await client.must("rm", "-f", parent);
});

test("a name server of the container's own has port 53 of every address, of both families, and our names go on", async () => {
  const [network, dns, asker] = [ground.name(), ground.name(), ground.name()];
  await ground.lighter.must("network", "create", network);
  await ground.lighter.must("run", "-d", "--name", asker, "--network", network, "busybox", "sleep", "600");
  const flags = ["--keep-in-foreground", "--user=root", "--no-hosts", "--no-resolv", "--address=/example.test/192.0.2.7"];
  await ground.lighter.must("run", "-d", "--name", dns, "--network", network, "dnsmasq", ...flags, "--address=/example.test/2001:db8::7");
  const socketsOn53 = async (): Promise<string[]> => {
    const tables = await ground.lighter.must("exec", dns, "sh", "-c", "cd /proc/net; grep -Hs '' tcp tcp6 udp udp6; true");
    return [...tables.matchAll(/^(\w+): *\d+: 0+:0035 /gm)].map(([, table = ""]) => table);
  };
  await until("port 53 is bound", async () => (await socketsOn53()).join(" ") === (SIX ? "tcp tcp6 udp udp6" : "tcp udp"));
  const server = await address(dns);
  const says = async (...command: string[]): Promise<string> => (await ground.lighter.run(["exec", ...command])).stdout;
  await until("it answers others", async () => /192\.0\.2\.7[^]*2001:db8::7/.test(await says(asker, "nslookup", "example.test", server)));
  const known = await address(asker);
  await until("it has our names itself", async () => (await says(dns, "getent", "ahosts", asker)).startsWith(`${known} `));
  expect(await ground.lighter.must("exec", asker, "nslookup", dns)).toContain(server);
  await ground.lighter.must("rm", "-f", dns, asker);
  await ground.lighter.must("network", "rm", network);
});
