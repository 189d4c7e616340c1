/** Programs and sockets that take logs: Debian's rsyslogd, and receivers of the forward protocol, of gelf and of journald's protocol. */
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { gunzipSync, inflateSync } from "node:zlib";
import { decodeMultiStream, encode } from "@msgpack/msgpack";
import { closeFd } from "../../src/linux/fd.ts";
import { check, libc } from "../../src/linux/libc.ts";
import { rsyslogd } from "../../tools/programs.ts";
import { until } from "./until.ts";

/** What a fluentd gets. */
export interface Forwarded {
  tag: string;
  record: Record<string, string>;
}

/** A receiver of the forward protocol that tells with each batch that it has it. */
export class ForwardReceiver implements AsyncDisposable {
  readonly batches: Forwarded[][] = [];
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();
  port: number;

  /** @param port 0 for a free one */
  constructor(port = 0) {
    this.port = port;
  }

  get records(): Forwarded[] {
    return this.batches.flat();
  }

  async open(): Promise<this> {
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      void this.#read(socket).catch(() => undefined);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, "127.0.0.1", resolve));
    this.port = (server.address() as { port: number }).port;
    return this;
  }

  async #read(socket: Socket): Promise<void> {
    for await (const message of decodeMultiStream(socket as AsyncIterable<Uint8Array<ArrayBuffer>>)) {
      const [tag, entries, option] = message as [string, [unknown, Record<string, string>][], { chunk?: string } | undefined];
      this.batches.push(entries.map(([, record]) => ({ tag, record })));
      if (option?.chunk !== undefined) socket.write(encode({ ack: option.chunk }));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const server = this.#server;
    if (server !== undefined) await new Promise<void>((resolve) => void server.close(() => resolve()));
  }
}

/** What Graylog gets over UDP (compressed, in chunks) and over TCP (with a NUL behind each message), on one port. */
export class GelfReceiver implements AsyncDisposable {
  readonly messages: Record<string, unknown>[] = [];
  port = 0;
  #server: Server | undefined;
  #udp: Bun.udp.Socket<"buffer"> | undefined;
  readonly #chunks = new Map<string, Buffer[]>();

  async open(): Promise<this> {
    let rest = Buffer.alloc(0);
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (bytes: Buffer) => {
        const parts = Buffer.concat([rest, bytes]).toString("latin1").split("\0");
        rest = Buffer.from(parts.pop() ?? "", "latin1");
        for (const part of parts) this.#take(Buffer.from(part, "latin1"));
      });
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.port = (server.address() as { port: number }).port;
    this.#udp = await Bun.udpSocket({
      hostname: "127.0.0.1",
      port: this.port,
      socket: { data: (_, bytes) => this.#datagram(Buffer.from(bytes)) },
    });
    return this;
  }

  #datagram(bytes: Buffer): void {
    if (bytes.readUInt16BE(0) !== 0x1e0f) return this.#take(bytes);
    const id = bytes.toString("hex", 2, 10);
    const chunks = this.#chunks.get(id) ?? [];
    chunks[bytes[10] ?? 0] = bytes.subarray(12);
    this.#chunks.set(id, chunks);
    if (Object.keys(chunks).length === bytes[11]) this.#take(Buffer.concat(chunks));
  }

  #take(bytes: Buffer): void {
    const plain = bytes[0] === 0x1f ? gunzipSync(bytes) : bytes[0] === 0x78 ? inflateSync(bytes) : bytes;
    this.messages.push(JSON.parse(plain.toString()) as Record<string, unknown>);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#udp?.close();
    const server = this.#server;
    if (server !== undefined) await new Promise<void>((resolve) => void server.close(() => resolve()));
  }
}

/** Debian's rsyslogd, listening on TCP and on a datagram socket in the folder (`log`, as `/dev/log` is one), that writes `facility.severity|tag|message` lines. */
export async function startRsyslog(folder: string, port: number): Promise<{ lines(): Promise<string[]> } & AsyncDisposable> {
  const { path, modules, libraries } = await rsyslogd();
  const out = join(folder, "rsyslog.out");
  const configuration = join(folder, "rsyslog.conf");
  await Bun.write(
    configuration,
    [
      "$MaxMessageSize 32k",
      'module(load="imtcp")',
      'module(load="imuxsock" SysSock.Use="off")',
      `input(type="imuxsock" Socket="${join(folder, "log")}" CreatePath="on" UseSpecialParser="off" ParseHostname="off")`,
      `input(type="imtcp" port="${port}" address="127.0.0.1")`,
      'template(name="plain" type="string" string="%syslogfacility-text%.%syslogseverity-text%|%syslogtag%|%msg%\\n")',
      `*.* action(type="omfile" file="${out}" template="plain")`,
      "",
    ].join("\n"),
  );
  const child = Bun.spawn([path, "-n", "-M", modules, "-f", configuration, "-i", join(folder, "rsyslog.pid")], {
    env: { ...process.env, LD_LIBRARY_PATH: libraries },
    stdio: ["ignore", "ignore", "ignore"],
  });
  const lines = async (): Promise<string[]> => {
    const file = Bun.file(out);
    return (await file.exists()) ? (await file.text()).split("\n").slice(0, -1) : [];
  };
  await until("rsyslogd listens", async () => {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
    socket.end();
    return true;
  });
  return {
    lines,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

/** A datagram socket that journald's clients write to: the entries, as objects of their fields. https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ */
export class JournalReceiver implements Disposable {
  readonly #fd: number;
  readonly entries: Record<string, string>[] = [];

  constructor(path: string) {
    this.#fd = check(libc().socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
    const address = Buffer.concat([Buffer.of(AF_UNIX, 0), Buffer.from(`${path}\0`)]);
    check(libc().bind(this.#fd, address, address.length), "bind", path);
  }

  /** Takes what has come. */
  read(): Record<string, string>[] {
    const block = Buffer.alloc(1 << 18);
    for (;;) {
      const count = Number(libc().recv(this.#fd, block, block.length, MSG_DONTWAIT));
      if (count < 0) return this.entries;
      this.entries.push(fieldsOf(block.subarray(0, count)));
    }
  }

  [Symbol.dispose](): void {
    closeFd(this.#fd);
  }
}

/** `NAME=value` lines, or a name alone, the value's length as 64 bits, and the value. */
function fieldsOf(bytes: Buffer): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf("\n", at);
    const line = bytes.toString("latin1", at, end);
    const equals = line.indexOf("=");
    if (equals >= 0) fields[line.slice(0, equals)] = line.slice(equals + 1);
    const length = equals >= 0 ? 0 : Number(bytes.readBigUInt64LE(end + 1));
    if (equals < 0) fields[line] = bytes.toString("latin1", end + 9, end + 9 + length);
    at = equals >= 0 ? end + 1 : end + 9 + length + 1;
  }
  return fields;
}
