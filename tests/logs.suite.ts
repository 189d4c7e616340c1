/** Logs: the same bytes with every driver, sent to real receivers, bounded, cleared; the daemon's own options. Deadline: 240 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startDockerd } from "../bench/peer.ts";
import { FrameDecoder } from "../src/wire/stdcopy.ts";
import { dockerClient } from "../tools/programs.ts";
import { must } from "../tools/shell.ts";
import { testImage } from "../tools/test-images.ts";
import { count } from "./harness/counts.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { freePort } from "./harness/ports.ts";
import { ForwardReceiver, GelfReceiver, JournalReceiver, startRsyslog } from "./harness/receivers.ts";
import { makeCertificate, TlsSyslog } from "./harness/tls-syslog.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
const folder = mkdtempSync(join(tmpdir(), "lighter-logs-"));
const journalPath = join(folder, "journal");
let journal: JournalReceiver;
let reading: ReturnType<typeof setInterval>;

beforeAll(async () => {
  journal = new JournalReceiver(journalPath);
  // The kernel keeps ten datagrams for one that does not read.
  reading = setInterval(() => journal.read(), 20);
  // Read by the daemon that the ground starts.
  process.env["LIGHTER_JOURNAL_SOCKET"] = journalPath;
  ground = await Ground.lay(["busybox"], ["--log-driver", "local", "--log-opt", "max-file=4", "--log-opt", "max-size=300k"]);
});
afterAll(async () => {
  await ground?.[Symbol.asyncDispose]();
  clearInterval(reading);
  journal?.[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Both outputs with a long line, CR, an empty line, a line in pieces and no newline at the end. */
const TEXT = [
  "head -c 50000 /dev/zero | tr '\\000' x; echo",
  "printf 'a\\r\\nb\\rc\\n\\n'",
  "printf 'error\\n' >&2; printf 'in '; sleep 0.1; printf 'pieces\\n'",
  "seq 3000; printf 'no end' >&2; printf 'nor here'",
].join("; ");
/** The same behind bytes that are no text, which dockerd 20.10 does not keep. */
const BINARY = `printf '\\000\\001\\377\\376\\n\\200'; ${TEXT}`;

/** The hash of each output of a program that runs on this machine. */
async function hashesHere(program: string): Promise<Record<number, string>> {
  const child = Bun.spawn(["sh", "-c", program], { stdout: "pipe", stderr: "pipe" });
  const hash = (bytes: Uint8Array): string => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  return { 1: hash(await child.stdout.bytes()), 2: hash(await child.stderr.bytes()) };
}

/** The hash of each output that `logs` over the API gives. */
async function hashes(get: (path: string) => Promise<Response>, id: string): Promise<Record<number, string>> {
  const hashers = new Map<number, Bun.CryptoHasher>();
  const decoder = new FrameDecoder((stream, bytes) => {
    const hasher = hashers.get(stream) ?? new Bun.CryptoHasher("sha256");
    hashers.set(stream, hasher.update(bytes));
  });
  decoder.push(new Uint8Array(await (await get(`/containers/${id}/logs?stdout=1&stderr=1`)).arrayBuffer()));
  return Object.fromEntries([...hashers].map(([stream, hasher]) => [stream, hasher.digest("hex")]));
}

async function logHashes(id: string): Promise<Record<number, string>> {
  return await hashes((path) => ground.daemon.api("GET", path), id);
}

/** Runs a program to its end, detached; returns its id. */
async function run(flags: readonly string[], program: string): Promise<string> {
  const id = await ground.lighter.must("run", "-d", "--network", "none", ...flags, "busybox", "sh", "-c", program);
  await ground.lighter.must("wait", id);
  return id;
}

async function inspect(id: string, format: string): Promise<string> {
  return await ground.lighter.must("inspect", "-f", format, id);
}

test("the bytes are dockerd's, whatever the driver", async () => {
  await using peer = await startDockerd(join(folder, "dockerd"));
  const client = await dockerClient("bookworm");
  const docker = async (...words: string[]): Promise<string> =>
    (await must([client, ...words], { env: { DOCKER_HOST: peer.host } })).trim();
  await docker("load", "-qi", (await testImage("busybox")).archive);
  const theirs = await docker("run", "-d", "--network", "none", "busybox", "sh", "-c", TEXT);
  await docker("wait", theirs);
  const expected = await hashes((path) => fetch(`http://docker${path}`, { unix: peer.host.slice("unix://".length) }), theirs);
  await docker("rm", theirs);
  expect(expected).toEqual(await hashesHere(TEXT));
  const binary = await hashesHere(BINARY);
  await using forward = await new ForwardReceiver().open();
  await using gelf = await new GelfReceiver().open();
  for (const driver of [
    ["json-file"],
    ["local"],
    ["syslog", "--log-opt", `syslog-address=udp://127.0.0.1:${freePort()}`],
    ["journald"],
    ["fluentd", "--log-opt", `fluentd-address=127.0.0.1:${forward.port}`],
    ["gelf", "--log-opt", `gelf-address=udp://127.0.0.1:${gelf.port}`],
  ]) {
    const bounds = driver[0] === "json-file" || driver[0] === "local" ? ["--log-opt", "max-size=100m", "--log-opt", "max-file=5"] : [];
    const text = await run(["--log-driver", ...driver, ...bounds], TEXT);
    expect([driver[0], await logHashes(text)]).toEqual([driver[0], expected]);
    const id = await run(["--log-driver", ...driver, ...bounds], BINARY);
    expect([driver[0], await logHashes(id)]).toEqual([driver[0], binary]);
    await ground.lighter.must("rm", text, id);
  }
}, 60_000);

test("fluentd gets every line once, in order, though the daemon is killed on the way", async () => {
  await using forward = await new ForwardReceiver().open();
  const lines = 30_000;
  const id = await ground.lighter.must(
    ...["run", "-d", "--network", "none", "--label", "team=a", "--log-driver", "fluentd", "--log-opt", "fluentd-request-ack=true"],
    ...["--log-opt", `fluentd-address=127.0.0.1:${forward.port}`, "--log-opt", "tag=t.{{.Name}}", "--log-opt", "labels=team"],
    ...["busybox", "sh", "-c", `i=0; while [ $i -lt 30 ]; do seq $((i*1000+1)) $((i*1000+1000)); i=$((i+1)); sleep 0.1; done; printf end`],
  );
  await until("some have come", () => forward.records.length > 3000);
  await ground.daemon.end("SIGKILL");
  await ground.daemon.start();
  await until("all have come", () => forward.records.at(-1)?.record["log"] === "end", { timeout: 30_000 });
  const name = (await inspect(id, "{{.Name}}")).slice(1);
  expect(forward.records.at(0)).toEqual({
    tag: `t.${name}`,
    record: { container_id: id, container_name: `/${name}`, source: "stdout", log: "1", team: "a" },
  });
  // A batch whose answer the killed daemon had not stored comes again, and no more than one.
  const unique = forward.batches.filter(
    (batch, index) => index === 0 || JSON.stringify(batch) !== JSON.stringify(forward.batches[index - 1]),
  );
  expect(forward.batches.length - unique.length).toBeLessThanOrEqual(1);
  const numbers = unique.flat().map(({ record }) => record["log"] ?? "");
  expect(numbers.pop()).toBe("end");
  const repeated = numbers.length - lines;
  expect(repeated).toBeGreaterThanOrEqual(0);
  expect(repeated).toBeLessThanOrEqual(500);
  expect([...new Set(numbers)]).toEqual(Array.from({ length: lines }, (_, index) => String(index + 1)));
  expect((await ground.lighter.must("logs", "--tail", "2", id)).split("\n")).toEqual([String(lines), "end"]);
  await ground.lighter.must("rm", id);
}, 60_000);

test("a receiver that comes late gets all of it, from a container that has ended, too", async () => {
  const port = freePort();
  const id = await run(["--log-driver", "fluentd", "--log-opt", `fluentd-address=127.0.0.1:${port}`], "seq 1000; echo last >&2");
  await using forward = await new ForwardReceiver(port).open();
  await until("all have come", () => forward.records.length >= 1001, { timeout: 20_000 });
  const of = (source: string): string[] =>
    forward.records.flatMap(({ record }) => (record["source"] === source ? [record["log"] ?? ""] : []));
  expect(of("stdout")).toEqual(Array.from({ length: 1000 }, (_, index) => String(index + 1)));
  expect(of("stderr")).toEqual(["last"]);
  // What was sent is not sent again by the next run, nor by the next daemon.
  await ground.daemon.end();
  await ground.daemon.start();
  await ground.lighter.must("start", id);
  await until("the second run's have come", () => forward.records.length >= 2002);
  expect(forward.records.length).toBe(2002);
  await ground.lighter.must("rm", id);
});

test("Debian's rsyslogd takes every form of syslog", async () => {
  const port = freePort();
  await using rsyslog = await startRsyslog(folder, port);
  for (const format of ["", "rfc3164", "rfc5424", "rfc5424micro"]) {
    await ground.lighter.must(
      ...["run", "--rm", "--network", "none", "--name", `form-${format || "plain"}`, "--log-driver", "syslog"],
      ...["--log-opt", `syslog-address=tcp://127.0.0.1:${port}`, "--log-opt", "syslog-facility=local3"],
      ...[
        "--log-opt",
        `syslog-format=${format}`,
        "--log-opt",
        "tag=web/{{.Name}}",
        "busybox",
        "sh",
        "-c",
        "echo out; sleep 0.1; echo err >&2",
      ],
    );
  }
  await until("all are written", async () => (await rsyslog.lines()).length >= 8);
  const parts = (await rsyslog.lines()).map((line) => /^([a-z0-9.]+)\|([^[|]+)(?:\[\d+\]:?)?\| ?(.*)$/.exec(line)?.slice(1));
  expect(parts).toEqual(
    ["plain", "rfc3164", "rfc5424", "rfc5424micro"].flatMap((format) => [
      ["local3.info", `web/form-${format}`, "out"],
      ["local3.err", `web/form-${format}`, "err"],
    ]),
  );
});

test("syslog over TLS: both sides show who they are; a receiver that is not known gets nothing", async () => {
  const [own, client] = [await makeCertificate(folder, "receiver"), await makeCertificate(folder, "client")];
  await using receiver = await TlsSyslog.open(own, client.cert);
  const options = (more: string[]): string[] =>
    [
      `syslog-address=tcp+tls://127.0.0.1:${receiver.port}`,
      "tag=t",
      `syslog-tls-cert=${client.cert}`,
      `syslog-tls-key=${client.key}`,
      ...more,
    ].flatMap((option) => ["--log-opt", option]);
  const say = async (word: string, more: string[]): Promise<string> =>
    await ground.lighter.must("run", "-d", "--network", "none", "--log-driver", "syslog", ...options(more), "busybox", "echo", word);
  const known = await say("trusted", [`syslog-tls-ca-cert=${own.cert}`]);
  await until("the first line has come", () => /^<30>[^\n]+ t\[\d+\]: trusted\n$/.test(receiver.text));
  expect(receiver.clients).toEqual(["client"]);
  // With the long form each message has its length in front.
  const counted = await say("counted", [`syslog-tls-ca-cert=${own.cert}`, "syslog-format=rfc5424"]);
  await until("the second has come", () => receiver.text.includes("counted\n"));
  const [, length, rest = ""] = /\n(\d+) (<30>1 .*counted\n)$/s.exec(receiver.text) ?? [];
  expect(Buffer.byteLength(rest)).toBe(Number(length));
  const unchecked = await say("unchecked", ["syslog-tls-skip-verify=true"]);
  await until("the third has come", () => receiver.text.includes(": unchecked\n"));
  const stranger = await say("secret", []);
  await until("the daemon says so", async () => (await ground.daemon.log).includes(`cannot send the log of ${stranger}`));
  expect(receiver.text).not.toContain("secret");
  expect(await ground.lighter.must("logs", stranger)).toBe("secret");
  await ground.lighter.must("rm", "-f", known, counted, unchecked, stranger);
});

test("a syslog's datagram socket, as /dev/log is one", async () => {
  const port = freePort();
  const own = mkdtempSync(join(folder, "local-"));
  await using rsyslog = await startRsyslog(own, port);
  const script = "echo first; sleep 0.1; echo second >&2";
  const id = await ground.lighter.must(
    ...["run", "-d", "--network", "none", "--log-driver", "syslog", "--log-opt", `syslog-address=unixgram://${join(own, "log")}`],
    ...["--log-opt", "tag=local", "busybox", "sh", "-c", script],
  );
  await until("both lines are written", async () => (await rsyslog.lines()).length >= 2);
  expect((await rsyslog.lines()).map((line) => line.replace(/\[\d+\]/, ""))).toEqual([
    "daemon.info|local:| first",
    "daemon.err|local:| second",
  ]);
  expect(await ground.lighter.must("logs", id)).toBe("first");
  await ground.lighter.must("wait", id);
  await ground.lighter.must("rm", id);
});

test("Graylog gets JSON over UDP, compressed and in chunks, and over TCP", async () => {
  await using gelf = await new GelfReceiver().open();
  const noise = "head -c 9000 /dev/urandom | hexdump -v -e '1/1 \"%02x\"'; echo";
  for (const [index, options] of [
    [`gelf-address=udp://127.0.0.1:${gelf.port}`],
    [`gelf-address=udp://127.0.0.1:${gelf.port}`, "gelf-compression-type=zlib", "gelf-compression-level=6"],
    [`gelf-address=udp://127.0.0.1:${gelf.port}`, "gelf-compression-type=none"],
    [`gelf-address=tcp://127.0.0.1:${gelf.port}`],
  ].entries()) {
    const name = `gelf-${index}`;
    const flags = options.flatMap((option) => ["--log-opt", option]);
    await ground.lighter.must(
      ...["run", "--rm", "--network", "none", "--name", name, "-e", "ZONE=b", "--log-opt", "env=ZONE", "--log-driver", "gelf", ...flags],
      ...["busybox", "sh", "-c", `echo one; sleep 0.1; echo two >&2; ${noise}`],
    );
    const own = (): Record<string, unknown>[] => gelf.messages.filter((message) => message["_container_name"] === name);
    await until("all have come", () => own().length >= 4);
    expect(own()[0]).toMatchObject({ version: "1.1", short_message: "one", level: 6, _image_name: "busybox", _ZONE: "b" });
    expect(own()[1]).toMatchObject({ short_message: "two", level: 3 });
    // 18,000 digits: two parts, as Docker cuts lines.
    const long = own()
      .slice(2)
      .map((message) => String(message["short_message"]).length);
    expect(long).toEqual([16_384, 18_000 - 16_384]);
  }
});

test("journald gets its fields", async () => {
  await ground.lighter.must(
    ...[
      "run",
      "--rm",
      "--network",
      "none",
      "--name",
      "jour",
      "--log-driver",
      "journald",
      "--label",
      "my.team=x",
      "--log-opt",
      "labels=my.team",
    ],
    ...["--log-opt", "tag={{.Name}}/{{.ImageName}}", "busybox", "sh", "-c", "echo hello; head -c 20000 /dev/zero | tr '\\000' y; echo"],
  );
  await until("all have come", () => journal.read().filter((entry) => entry["CONTAINER_NAME"] === "jour").length >= 3);
  const [first, second, third] = journal.entries.filter((entry) => entry["CONTAINER_NAME"] === "jour");
  expect(first).toMatchObject({
    MESSAGE: "hello",
    PRIORITY: "6",
    CONTAINER_TAG: "jour/busybox",
    SYSLOG_IDENTIFIER: "jour/busybox",
    IMAGE_NAME: "busybox",
    MY_TEAM: "x",
  });
  expect(first?.["CONTAINER_ID"]).toBe(first?.["CONTAINER_ID_FULL"]?.slice(0, 12));
  expect(second).toMatchObject({ MESSAGE: "y".repeat(16_384), CONTAINER_PARTIAL_MESSAGE: "true", CONTAINER_PARTIAL_LAST: "false" });
  expect(third).toMatchObject({ MESSAGE: "y".repeat(20_000 - 16_384), CONTAINER_PARTIAL_LAST: "true", CONTAINER_PARTIAL_ORDINAL: "2" });
});

test("the daemon's driver and options hold where the container says nothing", async () => {
  const { LoggingDriver, Plugins } = await ground.daemon.json<{ LoggingDriver: string; Plugins: { Log: string[] } }>("GET", "/info");
  expect(LoggingDriver).toBe("local");
  expect(Plugins.Log).toEqual(["fluentd", "gelf", "journald", "json-file", "local", "syslog"]);
  const plain = await run([], "true");
  expect(JSON.parse(await inspect(plain, "{{json .HostConfig.LogConfig}}"))).toEqual({
    Type: "local",
    Config: { "max-file": "4", "max-size": "300k" },
  });
  const own = await run(["--log-opt", "max-file=2"], "true");
  expect(JSON.parse(await inspect(own, "{{json .HostConfig.LogConfig.Config}}"))).toEqual({ "max-file": "2", "max-size": "300k" });
  const other = await run(["--log-driver", "json-file"], "true");
  expect(JSON.parse(await inspect(other, "{{json .HostConfig.LogConfig}}"))).toEqual({ Type: "json-file", Config: {} });
  await ground.lighter.must("rm", plain, own, other);
});

test("old files are compressed and read on, by tail and since, too", async () => {
  const id = await run([], "seq 20000; sleep 0.1; seq 20001 24000");
  const directory = dirname(await inspect(id, "{{.LogPath}}"));
  await until(
    "they are compressed",
    () => readdirSync(directory).some((name) => name.endsWith(".gz")) && !readdirSync(directory).includes("current.1"),
  );
  // The first line may have lost its beginning with the file before.
  const numbers = (await ground.lighter.must("logs", id)).split("\n").slice(1).map(Number);
  expect(numbers.at(-1)).toBe(24_000);
  expect(numbers).toEqual(numbers.map((_, index) => 24_000 - numbers.length + 1 + index));
  expect(numbers.length).toBeGreaterThan(9000);
  expect(await ground.lighter.must("logs", "--tail", "9000", id)).toBe(numbers.slice(-9000).join("\n"));
  const zcat = await must(["sh", "-c", 'zcat "$0"/current.*.gz | tail -n 1', directory]);
  expect(zcat).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+\S+ stdout [FP] \d+\n$/);
  await ground.lighter.must("rm", id);
});

for (const name of CLIENTS) {
  test(`${name}: details, times and what is none`, async () => {
    const client = ground.client(name);
    const flags = ["--label", "a=1", "--label", "bc=x y,z", "-e", "E=v=1 2", "--log-opt", "labels=a,bc", "--log-opt", "env=E"];
    const id = await run(["--log-driver", "json-file", ...flags, "--log-opt", "tag={{.ImageName}}"], "echo hi; printf part");
    expect(await client.must("logs", "--details", id)).toBe(
      "E=v%3D1+2,a=1,bc=x+y%2Cz,tag=busybox hi\nE=v%3D1+2,a=1,bc=x+y%2Cz,tag=busybox part",
    );
    expect(await client.must("logs", "-t", "--details", "-n", "1", id)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z E=\S+ part$/);
    const none = await run(["--log-driver", "none"], "echo hi");
    const refused = await client.run(["logs", none]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("configured logging driver does not support reading")]);
    expect(await inspect(none, "{{.LogPath}}")).toBe("");
    const unknown = await client.run(["run", "--log-driver", "syslog", "--log-opt", "max-size=1m", "busybox"]);
    expect([unknown.code, unknown.stderr]).toEqual([125, expect.stringContaining("unknown log opt 'max-size' for syslog log driver")]);
    await ground.lighter.must("rm", id, none);
  });
}

test("logs --clear throws away what is stored; a follower goes on", async () => {
  const id = await ground.lighter.must(
    ...["run", "-d", "--network", "none", "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"],
  );
  const following = ground.lighter.spawn(["logs", "-f", id]);
  const first = async (): Promise<number> => Number((await ground.lighter.must("logs", id)).split("\n")[0]);
  await until("it writes", async () => (await first()) === 1);
  expect(await ground.lighter.must("logs", "--clear", id)).toBe("");
  await until("it writes on", async () => (await first()) > 1);
  // The same by hand, of the file that inspect names.
  const before = await first();
  truncateSync(await inspect(id, "{{.LogPath}}"));
  await until("it writes on", async () => (await first()) > before);
  await ground.lighter.must("kill", id);
  await ground.lighter.must("logs", "--clear", id);
  expect(await ground.lighter.must("logs", id)).toBe("");
  const seen = (await following.stdout.text()).trimEnd().split("\n").map(Number);
  expect(seen[0]).toBe(1);
  expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
  expect(seen.length).toBeGreaterThan(3);
  expect((await ground.lighter.run(["logs", "--clear", "nobody"])).stderr).toContain("No such container: nobody");
  await ground.lighter.must("rm", id);
});

test("the last lines of a large log come at once", async () => {
  const megabytes = count(20, 100);
  const id = await run(
    ["--log-opt", "max-size=200m"],
    `dd if=/dev/zero bs=64k count=${megabytes * 16} 2>/dev/null | tr '\\000' x | fold -w 999; echo; seq 10`,
  );
  expect((await ground.lighter.must("logs", "--tail", "10", id)).split("\n")).toEqual(Array.from({ length: 10 }, (_, n) => String(n + 1)));
  expect(readFileSync(await inspect(id, "{{.LogPath}}")).length).toBeGreaterThan(megabytes << 20);
  await ground.lighter.must("rm", id);
}, 60_000);
