import { LighterError } from "../base/errors.ts";
import { parseDeviceRule, parseGpus, parseRateBytes, parseRateCount, parseWeight } from "./device-flags.ts";
import { bool, bytes, duration, int, list, map, parsed, string, uint, type Flag, type Flags } from "./flags.ts";
import { parseMount } from "./mount-flag.ts";
import { parseNetwork } from "./network-flag.ts";
import { isIp } from "./ports.ts";
import { checkSysctl, parseUlimit } from "./limit-flags.ts";

/** A list whose entries are checked and kept as they are, or brought into one spelling. */
function checkedList(
  check: (text: string) => string,
  help: string,
  more?: string | Partial<Pick<Flag<string[]>, "short" | "aliases">>,
): Flag<string[]> {
  return { ...list(help, more), take: (text, before) => [...before, check(text)] };
}

function stream(text: string): string {
  const name = text.toLowerCase();
  if (!["stdin", "stdout", "stderr"].includes(name)) throw new LighterError("invalid", "valid streams are STDIN, STDOUT and STDERR");
  return name;
}

function named(what: string): (text: string) => string {
  return (text) => {
    if (text === "" || text.startsWith("="))
      throw new LighterError("invalid", what === "label" ? `invalid label '${text}': empty name` : `invalid environment variable: ${text}`);
    return text;
  };
}

function host(text: string): string {
  const at = /[:=]/.exec(text)?.index ?? -1;
  const name = text.slice(0, Math.max(at, 0));
  const address = text.slice(at + 1).replace(/^\[(.*)\]$/, "$1");
  if (at < 0 || name === "") throw new LighterError("invalid", `bad format for add-host: ${JSON.stringify(text)}`);
  if (address !== "host-gateway" && !isIp(address))
    throw new LighterError("invalid", `invalid IP address in add-host: ${JSON.stringify(address)}`);
  return `${name}:${address}`;
}

function address(text: string): string {
  if (!isIp(text.trim())) throw new LighterError("invalid", `IP address is not correctly formatted: ${text}`);
  return text.trim();
}

/** Labels of letters, digits and dashes between dots, with a letter somewhere; a lone dot means none at all. */
function searchDomain(text: string): string {
  const domain = text.trim();
  const label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
  if (domain === "." || (/[a-zA-Z]/.test(domain) && domain.length < 255 && new RegExp(`^${label}(?:\\.${label})*\\.?$`).test(domain)))
    return domain === "." ? domain : domain.replace(/\.$/, "");
  throw new LighterError("invalid", `${text} is not a valid domain`);
}

function link(text: string): string {
  if (text === "") throw new LighterError("invalid", "empty string specified for links");
  if (text.split(":").length > 2) throw new LighterError("invalid", `bad format for links: ${text}`);
  return text;
}

function decimal(text: string): number {
  const value = /^-?\d*\.?\d+(?:\/\d+)?$|^-?\d+\.$/.test(text) ? ratio(text) : Number.NaN;
  if (Number.isNaN(value)) throw new LighterError("invalid", `failed to parse ${text} as a rational number`);
  const nanos = value * 1e9;
  if (Math.abs(nanos - Math.round(nanos)) > 1e-3) throw new LighterError("invalid", "value is too precise");
  return Math.round(nanos);
}

function ratio(text: string): number {
  const [numerator, denominator] = text.split("/");
  return denominator === undefined ? Number(numerator) : Number(numerator) / Number(denominator);
}

/** The flags that `run` and `create` share. */
export const CONTAINER_FLAGS = {
  egress: list("Let it reach nothing (none), everything (any), or what is listed"),
  "egress-allow": list("Let it reach a name, address or subnet, e.g. example.org:443, and nothing else"),
  "add-host": checkedList(host, "Add a line to the container's hosts file (name:address)"),
  annotation: map("Hand a key and a value to the OCI runtime", { shown: "map[]" }),
  attach: checkedList(stream, "Connect only stdin, stdout or stderr", "a"),
  "blkio-weight": uint("Share of block I/O, 10 to 1000; 0 for none", { shown: "0" }, "uint16"),
  "blkio-weight-device": { ...parsed("list", parseWeight, "Share of a device's I/O (device:weight)"), shown: "[]" },
  "cap-add": list("Give a capability to the container"),
  "cap-drop": list("Take a capability from the container"),
  "cgroup-parent": string("Put the container's cgroup below this one"),
  cgroupns: string("Cgroup namespace: host, private, or the daemon's default"),
  cidfile: string("Write the container's ID to this file"),
  "cpu-count": { ...int("Number of processors (Windows only)"), hidden: true },
  "cpu-percent": { ...int("Share of processor time (Windows only)"), hidden: true },
  "cpu-period": int("Length of a CFS period in microseconds"),
  "cpu-quota": int("Processor time in a CFS period in microseconds"),
  "cpu-rt-period": int("Length of a real-time period in microseconds"),
  "cpu-rt-runtime": int("Real-time processor time in a period in microseconds"),
  "cpu-shares": int("Relative weight of processor time", "c"),
  cpus: { ...int("How many processors it may use"), type: "decimal", take: decimal },
  "cpuset-cpus": string("Processors it may run on (0-3, 0,1)"),
  "cpuset-mems": string("Memory nodes it may use (0-3, 0,1)"),
  device: list("Give a device of the host to the container"),
  "device-cgroup-rule": checkedList(parseDeviceRule, "Add a rule of which devices may be used"),
  "device-read-bps": { ...parsed("list", parseRateBytes, "Most bytes a second read from a device"), shown: "[]" },
  "device-read-iops": { ...parsed("list", parseRateCount, "Most reads a second from a device"), shown: "[]" },
  "device-write-bps": { ...parsed("list", parseRateBytes, "Most bytes a second written to a device"), shown: "[]" },
  "device-write-iops": { ...parsed("list", parseRateCount, "Most writes a second to a device"), shown: "[]" },
  "disable-content-trust": { ...bool("Has no effect", { initial: true }), hidden: true },
  dns: checkedList(address, "Use this name server"),
  "dns-option": list("Set an option of the resolver", { aliases: ["dns-opt"] }),
  "dns-search": checkedList(searchDomain, "Search names in this domain"),
  domainname: string("The container's domain name"),
  entrypoint: string("Run this in place of the image's entrypoint"),
  env: checkedList(named("env"), "Set an environment variable", "e"),
  "env-file": list("Read environment variables from a file"),
  expose: list("Mark a port or a range as one that the container serves"),
  gpus: parsed("gpu-request", parseGpus, "Give GPUs to the container ('all' for all of them)"),
  "group-add": list("Add a group to the process"),
  "health-cmd": string("Command that tells whether it is healthy"),
  "health-interval": duration("Time between two checks", { shown: "0s" }),
  "health-on-failure": string("What happens when it becomes unhealthy: none, kill, restart or stop"),
  "health-retries": int("Failures in a row that mean unhealthy"),
  "health-start-interval": duration("Time between two checks while it starts", { shown: "0s" }),
  "health-start-period": duration("Time it may take to start before failures count", { shown: "0s" }),
  "health-timeout": duration("Longest time of a check", { shown: "0s" }),
  hostname: string("The container's host name", "h"),
  init: bool("Run a small init that passes signals on and reaps processes"),
  interactive: bool("Keep stdin open", "i"),
  "io-maxbandwidth": { ...bytes("Most I/O of the system drive (Windows only)"), hidden: true },
  "io-maxiops": { ...uint("Most I/O operations of the system drive (Windows only)"), hidden: true },
  ip: { ...string("IPv4 address"), type: "ip" },
  ip6: { ...string("IPv6 address"), type: "ip" },
  ipc: string("IPC namespace"),
  isolation: string("Isolation technology"),
  "kernel-memory": { ...bytes("Has no effect"), hidden: true },
  label: checkedList(named("label"), "Set a label", "l"),
  "label-file": list("Read labels from a file"),
  link: checkedList(link, "Make another container known by a name (name:alias)"),
  "link-local-ip": list("Link-local address"),
  "log-driver": string("Where logs go"),
  "log-opt": list("Option of the log driver"),
  "mac-address": string("MAC address"),
  memory: bytes("Most memory", "m"),
  "memory-reservation": bytes("Memory it is left with when memory is short"),
  "memory-swap": {
    ...bytes("Most memory and swap together; -1 for no limit"),
    take: (text: string) => (text === "-1" ? -1 : bytes("").take(text, 0)),
  },
  "memory-swappiness": int("How readily it is swapped (0 to 100)", { initial: -1, shown: "-1" }),
  mount: parsed("mount", parseMount, "Mount a file system into the container"),
  name: string("Name of the container"),
  network: { ...parsed("network", parseNetwork, "Connect the container to a network"), aliases: ["net"] },
  "network-alias": list("Another name on the network", { aliases: ["net-alias"] }),
  "no-healthcheck": bool("Do without the image's health check"),
  "oom-kill-disable": bool("Do not kill it when memory runs out"),
  "oom-score-adj": int("How likely it is killed when the host's memory runs out (-1000 to 1000)"),
  pid: string("PID namespace"),
  "pids-limit": int("Most processes (-1 for no limit)"),
  platform: string("Platform of the image (os/arch/variant)"),
  privileged: bool("Give it all rights of the host's root"),
  publish: list("Publish a port or a range on the host", "p"),
  "publish-all": bool("Publish all ports that it serves", "P"),
  pull: string("When to pull the image (always, missing, never)", { initial: "missing", shown: '"missing"' }),
  quiet: bool("Do not show the pull's progress", "q"),
  "read-only": bool("Make the root file system read-only"),
  restart: string("What to do when it ends", { initial: "no", shown: '"no"' }),
  rm: bool("Remove the container and its anonymous volumes when it ends"),
  runtime: string("OCI runtime that runs it"),
  "security-opt": list("Security option"),
  "shm-size": bytes("Size of /dev/shm"),
  "stop-signal": string("Signal that asks it to end"),
  "stop-timeout": int("Seconds until it is killed"),
  "storage-opt": list("Option of the storage driver"),
  sysctl: { ...map("Kernel parameter", { shown: "map[]" }), take: checkSysctl },
  tmpfs: list("Mount a tmpfs at this path"),
  tty: bool("Give it a terminal", "t"),
  ulimit: { ...parsed("ulimit", parseUlimit, "Resource limit of its processes"), shown: "[]" },
  "use-api-socket": bool("Give the daemon's socket, and your logins at registries, to the container"),
  user: string("User, and group, that it runs as (<name|uid>[:<group|gid>])", "u"),
  userns: string("User namespace"),
  uts: string("UTS namespace"),
  volume: list("Mount a volume or a folder", "v"),
  "volume-driver": string("Driver of the volumes that are made"),
  "volumes-from": list("Mount the volumes of another container"),
  workdir: string("Folder that it starts in", "w"),
} satisfies Flags;
