import type { PortSummary } from "../wire/engine-api.ts";

/** A run of neighbouring ports that are published the same way. */
interface Run {
  ip: string;
  proto: string;
  first: number;
  last: number;
}

/** Ports as `ps` shows them: `0.0.0.0:80->80/tcp, 8000-8002/udp`; neighbours that map onto themselves are drawn together. */
export function displayPorts(ports: readonly PortSummary[]): string {
  if (ports.length === 0) return "";
  const sorted = ports
    .map(normal)
    .sort((a, b) => a.inside - b.inside || compare(a.ip, b.ip) || a.outside - b.outside || compare(a.proto, b.proto));
  const open = new Map<string, Run>();
  const closed: Run[] = [];
  const single: string[] = [];
  for (const { ip, proto, inside, outside } of sorted) {
    if (ip !== "" && outside !== inside) {
      single.push(`${join(ip, String(outside))}->${inside}/${proto}`);
      continue;
    }
    const key = ip === "" ? proto : `${ip}/${proto}`;
    const run = open.get(key);
    if (run && inside === run.last + 1) {
      run.last = inside;
      continue;
    }
    if (run) closed.push(run);
    open.set(key, { ip, proto, first: inside, last: inside });
  }
  return [...[...closed, ...open.values()].map(runText), ...single].join(", ");
}

interface Port {
  ip: string;
  proto: string;
  inside: number;
  outside: number;
}

function normal(port: PortSummary): Port {
  return { ip: port.IP ?? "", proto: port.Type ?? "tcp", inside: port.PrivatePort ?? 0, outside: port.PublicPort ?? 0 };
}

function runText({ ip, proto, first, last }: Run): string {
  const range = first === last ? String(first) : `${first}-${last}`;
  return `${ip === "" ? range : `${join(ip, range)}->${range}`}/${proto}`;
}

function join(ip: string, port: string): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
