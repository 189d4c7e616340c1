import { readFileSync, statSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { closeFd } from "../linux/fd.ts";
import { connectDatagrams, sendPacket } from "../linux/packet-socket.ts";
import { addressOf } from "./log-address.ts";
import { type LogMessage, type LogReceiver, type LogSubject, timeText } from "./log-message.ts";
import { boolOf, facilityOf } from "./log-options.ts";
import { LogSocket } from "./log-socket.ts";
import { UdpSender } from "./log-udp.ts";

/** Where the machine's own syslog listens, the first that is there. */
const LOCAL = ["/dev/log", "/var/run/syslog", "/var/run/log"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const FULL_MILLISECONDS = 5;
/** A receiver that takes nothing for so long is one that is not there. */
const STUCK_MILLISECONDS = 3000;
const INFO = 6;
const ERROR = 3;

/** The socket of the machine's own syslog; undefined when there is none. */
export function localSyslog(): string | undefined {
  return LOCAL.find((path) => statSync(path, { throwIfNoEntry: false })?.isSocket() === true);
}

/** Sends lines to a syslog in the form that the options say. https://www.rfc-editor.org/rfc/rfc5424 and rfc3164 */
export function syslogReceiver(subject: LogSubject, options: Record<string, string>): LogReceiver {
  const address = addressOf("syslog", options["syslog-address"]);
  const facility = facilityOf(options["syslog-facility"]);
  const format = options["syslog-format"] ?? "";
  const line = (message: LogMessage): Buffer => {
    const priority = facility * 8 + (message.stream === 2 ? ERROR : INFO);
    return Buffer.concat([Buffer.from(headOf(format, priority, subject, message)), message.text, Buffer.from("\n")]);
  };
  if (address.protocol === "udp") {
    const sender = new UdpSender(address);
    return {
      send: (messages) => sender.send(messages.map(line)),
      close: () => sender.close(),
    };
  }
  if (address.protocol === "unixgram") return datagramReceiver(address.path || (localSyslog() ?? ""), line);
  const socket = new LogSocket(address, address.protocol === "tls" ? tlsOf(options) : {});
  // Over TLS, the long form carries each message's length in front. https://www.rfc-editor.org/rfc/rfc5425#section-4.3
  const counted = address.protocol === "tls" && format.startsWith("rfc5424");
  const framed = (bytes: Buffer): Buffer[] => (counted ? [Buffer.from(`${bytes.length} `), bytes] : [bytes]);
  return {
    send: (messages) => socket.write(Buffer.concat(messages.flatMap((message) => framed(line(message))))),
    close: () => socket.close(),
  };
}

function headOf(format: string, priority: number, { tag, host }: LogSubject, message: LogMessage): string {
  const date = new Date(message.seconds * 1000);
  const pad = (value: number): string => String(value).padStart(2, "0");
  const stamp = `${MONTHS[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  if (format === "rfc3164") return `<${priority}>${stamp} ${host} ${tag}[${process.pid}]: `;
  if (format === "") return `<${priority}>${stamp} ${tag}[${process.pid}]: `;
  const time = timeText(message);
  const shown = format === "rfc5424micro" ? `${time.slice(0, 26)}Z` : `${time.slice(0, 19)}Z`;
  return `<${priority}>1 ${shown} ${host} ${tag} ${process.pid} ${tag} - `;
}

/** Datagrams to a unix socket; one that was closed by its owner is opened again at the next try. */
export function datagramReceiver(path: string, encode: (message: LogMessage) => Uint8Array): LogReceiver {
  let fd = -1;
  const close = (): void => {
    if (fd >= 0) closeFd(fd);
    fd = -1;
  };
  return {
    async send(messages) {
      try {
        if (fd < 0) fd = connectDatagrams(path);
        for (const message of messages) {
          const bytes = encode(message);
          for (const late = performance.now() + STUCK_MILLISECONDS; !sendPacket(fd, bytes); await Bun.sleep(FULL_MILLISECONDS))
            if (performance.now() > late) throw new LighterError("unavailable", `nobody reads from ${path}`);
        }
      } catch (error) {
        close();
        throw error;
      }
    },
    close,
  };
}

/** The certificates of a TLS receiver. Throws `invalid` with Docker's sentences when they cannot be read. */
export function tlsOf(options: Record<string, string>): Record<string, unknown> {
  const { "syslog-tls-ca-cert": ca, "syslog-tls-cert": cert, "syslog-tls-key": key, "syslog-tls-skip-verify": skip } = options;
  return {
    rejectUnauthorized: !skipsVerify(skip),
    ...(ca ? { ca: certificatesOf(ca) } : {}),
    ...(cert ? { cert: readOr(cert, (why) => `Could not load X509 key pair: ${why}`) } : {}),
    ...(key ? { key: readOr(key, (why) => `Could not load X509 key pair: ${why}`) } : {}),
  };
}

/** Docker takes the option's presence for yes, unless it says no. */
function skipsVerify(text: string | undefined): boolean {
  try {
    return text !== undefined && (text === "" || boolOf(text));
  } catch {
    return true;
  }
}

function certificatesOf(path: string): string {
  const text = readOr(path, (why) => `could not read CA certificate ${JSON.stringify(path)}: ${why}`);
  if (/^-----BEGIN CERTIFICATE-----$/m.test(text)) return text;
  throw new LighterError("invalid", `failed to append certificates from PEM file: ${JSON.stringify(path)}`);
}

function readOr(path: string, say: (why: string) => string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const missing = (cause as { code?: string }).code === "ENOENT";
    const why = `open ${path}: ${missing ? "no such file or directory" : (cause as Error).message}`;
    throw new LighterError("invalid", say(why), { cause });
  }
}
