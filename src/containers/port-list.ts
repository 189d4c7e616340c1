import type { PortMap, PortSummary } from "../wire/engine-api.ts";

/** The `Ports` of `ps`, sorted: one entry a binding, and one without a public port for what is only exposed. */
export function portList(ports: PortMap): PortSummary[] {
  const list = Object.entries(ports).flatMap(([key, bindings]): PortSummary[] => {
    const [port = "", type = "tcp"] = key.split("/");
    const common = { PrivatePort: Number(port), Type: type as PortSummary["Type"] };
    if (bindings === null || bindings.length === 0) return [common];
    return bindings.map(({ HostIp, HostPort }) => ({
      ...(HostIp ? { IP: HostIp } : {}),
      PrivatePort: common.PrivatePort,
      ...(HostPort ? { PublicPort: Number(HostPort) } : {}),
      Type: common.Type,
    }));
  });
  return list.sort((a, b) => a.PrivatePort - b.PrivatePort || (a.PublicPort ?? 0) - (b.PublicPort ?? 0) || a.Type.localeCompare(b.Type));
}
