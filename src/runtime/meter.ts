import { type CgroupHost, limitsDirectory } from "./cgroup-host.ts";
import { MeterV1 } from "./meter-v1.ts";
import { MeterV2 } from "./meter-v2.ts";
import { NetworkMeter } from "./network-meter.ts";
import type { Meter } from "./usage.ts";

/** A meter that stops for good: what it keeps open must not outlive the container. */
export interface ClosableMeter extends Meter {
  close(): void;
}

/** Makes the meter of a container's cgroup and of its init's network; nothing is opened before the first read. */
export function openMeter(host: CgroupHost, path: string, pid: number): ClosableMeter {
  const network = new NetworkMeter(pid);
  const meter =
    host.version === 2
      ? new MeterV2(limitsDirectory(host, path), network)
      : new MeterV1((controller) => {
          const mount = host.mounts.get(controller);
          return mount === undefined ? undefined : mount + path;
        }, network);
  let closed = false;
  return {
    read: () => (closed ? undefined : meter.read()),
    cpu: () => (closed ? undefined : meter.cpu()),
    rest: () => meter.rest(),
    close: () => {
      closed = true;
      meter.rest();
    },
  };
}
