import type { ContainerNetworkRequest } from "./needs.ts";
import type { Desired } from "./desired.ts";
import { EGRESS_LABEL } from "../wire/labels.ts";

/** What a container asks of the network, from its configuration. */
export function networkRequest(container: { id: string; name: string; desired: Desired }): ContainerNetworkRequest {
  const { config, hostConfig: host, endpoints } = container.desired;
  return {
    containerId: container.id,
    containerName: container.name,
    hostname: config.Hostname ?? "",
    domainname: config.Domainname ?? "",
    mode: config.NetworkDisabled ? "none" : (host.NetworkMode ?? "default"),
    endpoints,
    portBindings: host.PortBindings ?? {},
    exposed: Object.keys(config.ExposedPorts ?? {}),
    publishAll: host.PublishAllPorts ?? false,
    dns: host.Dns ?? [],
    dnsOptions: (host.DnsOptions ?? []).filter((option) => option !== ""),
    dnsSearch: host.DnsSearch ?? [],
    extraHosts: host.ExtraHosts ?? [],
    links: host.Links ?? [],
    sysctls: host.Sysctls ?? {},
    egress: config.Labels?.[EGRESS_LABEL],
    ...(container.desired.users && { ownUsers: true }),
  };
}
