/**
 * For the root tests: a daemon that waits to be killed. `bun lab-ports.ts DATA_ROOT` starts containers with IPv4, with IPv6, and with both, that publish TCP and UDP
 * ports, a neighbour of each, and one in a network of its own; prints them as JSON.
 */
import { Lab, type LabContainer, LabDaemon, PLAIN } from "./lab.ts";

const [dataRoot = ""] = process.argv.slice(2);
const daemon = await LabDaemon.open(new Lab(), { dataRoot });
await daemon.networks.restore([]);
await daemon.networks.create({ ...PLAIN, name: "far", enableIPv6: true, ipam: { config: [{ subnet: "fd00:7::/64" }] } });
await daemon.networks.create({ ...PLAIN, name: "both", enableIPv6: true, ipam: { config: [{ subnet: "fd00:8::/64" }] } });
await daemon.networks.create({ ...PLAIN, name: "six", enableIPv4: false, enableIPv6: true, ipam: { config: [{ subnet: "fd00:9::/64" }] } });

const made: Record<string, LabContainer> = { far: await daemon.run("far", { mode: "far" }) };
for (const [index, [name, mode]] of [
  ["four", "default"],
  ["both", "both"],
  ["six", "six"],
].entries() as ArrayIterator<[number, [string, string]]>) {
  const HostPort = String(8081 + index);
  made[name] = await daemon.run(name, { mode, portBindings: { "80/tcp": [{ HostPort }], "53/udp": [{ HostPort }] } });
  made[`${name}-neighbour`] = await daemon.run(`${name}-neighbour`, { mode });
}
console.log(
  JSON.stringify(
    Object.fromEntries(
      Object.entries(made).map(([name, { id, pid }]) => {
        const { networks, ports } = daemon.networks.settings(daemon.state, id);
        const [place] = Object.values(networks);
        return [name, { id, pid, address4: place?.IPAddress, address6: place?.GlobalIPv6Address, ports }];
      }),
    ),
  ),
);
await Bun.sleep(600_000);
