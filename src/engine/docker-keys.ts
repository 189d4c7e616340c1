import { existsSync, readFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { isObject, wrongValue } from "./key-values.ts";

/** What becomes of a key of dockerd's. */
export interface DockerKey {
  verdict: "honoured" | "no effect" | "refused";
  takes: "text" | "flag" | "number" | "texts" | "object";
  /** What there is to know of it: why it has no effect, or what to do instead, as the log and the error say it. */
  why: string;
  /** The flag's name where it is another than the key's; null where there is none. */
  flag?: string | null;
  /** Values that want nothing, beside empty ones: nothing is said of them. */
  idle?: readonly unknown[];
}

const CONTAINERD = "there is no containerd: images, layers and runtimes are the daemon's own";
const SWARM = "there is no swarm mode";

/** What dockerd 29 knows (and 20.10 knew), in groups as the documentation shows them, but for keys that do here as they do there without a word. */
export const DOCKER_KEYS: Readonly<Record<string, DockerKey>> = {
  "data-root": { verdict: "honoured", takes: "text", why: "a directory of its own: one that holds dockerd's data is refused" },
  "exec-root": { verdict: "honoured", takes: "text", why: "" },
  pidfile: { verdict: "honoured", takes: "text", why: "" },
  hosts: {
    verdict: "honoured",
    takes: "texts",
    flag: "host",
    why: "`unix://`, `tcp://`, and `fd://`, `fd://3` or `fd://NAME` for sockets of systemd, which are also taken where nothing is said",
  },
  group: { verdict: "honoured", takes: "text", why: "" },
  tls: { verdict: "honoured", takes: "flag", why: "a TCP address beyond loopback needs TLS, or this said to be false" },
  tlsverify: { verdict: "honoured", takes: "flag", why: "" },
  tlscacert: { verdict: "honoured", takes: "text", why: "no default path" },
  tlscert: { verdict: "honoured", takes: "text", why: "no default path" },
  tlskey: { verdict: "honoured", takes: "text", why: "no default path" },
  debug: { verdict: "honoured", takes: "flag", why: "" },
  "log-level": { verdict: "honoured", takes: "text", why: "" },
  "log-format": { verdict: "honoured", takes: "text", why: "" },
  "raw-logs": { verdict: "no effect", takes: "flag", why: "the log has full times and no colours in any case" },
  "shutdown-timeout": { verdict: "honoured", takes: "number", why: "shown only: no container is stopped when the daemon ends" },
  "live-restore": {
    verdict: "no effect",
    takes: "flag",
    idle: [true],
    why: "containers run on when the daemon ends or is replaced, in any case",
  },
  experimental: { verdict: "honoured", takes: "flag", why: "" },
  features: { verdict: "honoured", takes: "object", flag: "feature", why: "kept and shown" },
  labels: { verdict: "honoured", takes: "texts", flag: "label", why: "" },
  "metrics-addr": {
    verdict: "honoured",
    takes: "text",
    why: "`/metrics` for Prometheus by dockerd's names; statistics of all containers are GET /lighter/stats of the API",
  },
  "min-api-version": { verdict: "no effect", takes: "text", flag: null, why: "clients from API version 1.24 on are served, side by side" },
  "api-cors-header": { verdict: "no effect", takes: "text", why: "no such header is sent, as by Docker from version 28 on" },
  "authorization-plugins": {
    verdict: "refused",
    takes: "texts",
    flag: "authorization-plugin",
    why: "there are no plugins, and requests would go through unasked: leave it out, and let only those reach the socket who may do everything",
  },
  "oom-score-adjust": {
    verdict: "no effect",
    takes: "number",
    why: "containers would inherit it: set OOMScoreAdjust= in the daemon's unit",
  },
  "node-generic-resources": { verdict: "no effect", takes: "texts", flag: "node-generic-resource", why: SWARM },
  "swarm-default-advertise-addr": { verdict: "no effect", takes: "text", why: SWARM },
  "swarm-raft-heartbeat-tick": { verdict: "no effect", takes: "number", flag: null, why: SWARM },
  "swarm-raft-election-tick": { verdict: "no effect", takes: "number", flag: null, why: SWARM },
  "cluster-store": { verdict: "no effect", takes: "text", flag: null, why: "Docker itself has had no use for it since version 23" },
  "cluster-store-opts": { verdict: "no effect", takes: "object", flag: null, why: "Docker itself has had no use for it since version 23" },
  "cluster-advertise": { verdict: "no effect", takes: "text", flag: null, why: "Docker itself has had no use for it since version 23" },
  "deprecated-key-path": { verdict: "no effect", takes: "text", flag: null, why: "Docker itself has had no use for it since version 23" },

  "exec-opts": { verdict: "honoured", takes: "texts", flag: "exec-opt", why: "" },
  runtimes: {
    verdict: "honoured",
    takes: "object",
    flag: "add-runtime",
    why: "by `path`; of `runtimeType` only `io.containerd.runc.v2`, by its `BinaryName`: others are left out, which is logged",
  },
  "default-runtime": { verdict: "honoured", takes: "text", why: "" },
  "cgroup-parent": { verdict: "honoured", takes: "text", why: "" },
  "cpu-rt-period": { verdict: "no effect", takes: "number", why: "set it for the parent cgroup itself; cgroup v2 has no such limit" },
  "cpu-rt-runtime": { verdict: "no effect", takes: "number", why: "set it for the parent cgroup itself; cgroup v2 has no such limit" },
  "default-ulimits": { verdict: "honoured", takes: "object", flag: "default-ulimit", why: "" },
  "default-shm-size": { verdict: "honoured", takes: "text", why: "" },
  "default-ipc-mode": { verdict: "honoured", takes: "text", why: "" },
  "default-cgroupns-mode": { verdict: "honoured", takes: "text", why: "" },
  "default-stop-timeout": { verdict: "honoured", takes: "number", flag: null, why: "" },
  init: { verdict: "honoured", takes: "flag", why: "" },
  "init-path": { verdict: "honoured", takes: "text", why: "" },
  "default-init": { verdict: "honoured", takes: "text", flag: null, why: "where there is no `init-path`" },
  "no-new-privileges": { verdict: "honoured", takes: "flag", why: "" },
  "seccomp-profile": { verdict: "honoured", takes: "text", why: "" },
  "apparmor-profile": {
    verdict: "refused",
    takes: "text",
    why: "containers get the default profile: load yours and give it to them by --security-opt apparmor=NAME",
  },
  "selinux-enabled": {
    verdict: "no effect",
    takes: "flag",
    why: "SELinux is not in force on this host; where it is, this key is refused: containers have no labels here",
  },
  "userns-remap": {
    verdict: "honoured",
    takes: "text",
    why: "for containers made from then on: see [users](users.md); needs Linux 5.19",
  },
  rootless: { verdict: "refused", takes: "flag", why: "this daemon runs as root" },
  "cdi-spec-dirs": { verdict: "honoured", takes: "texts", flag: "cdi-spec-dir", why: "" },
  "log-driver": { verdict: "honoured", takes: "text", why: "" },
  "log-opts": { verdict: "honoured", takes: "object", flag: "log-opt", why: "" },

  "storage-driver": {
    verdict: "honoured",
    takes: "text",
    why: "`overlay2` and `overlayfs`; others are named in the log, and overlayfs is used",
  },
  "storage-opts": {
    verdict: "honoured",
    takes: "texts",
    flag: "storage-opt",
    why: "`overlay2.size`, where the data root has project quotas; `overlay2.override_kernel_check` has no effect; options of other drivers are refused",
  },
  containerd: { verdict: "no effect", takes: "text", why: CONTAINERD },
  "containerd-namespace": { verdict: "no effect", takes: "text", why: CONTAINERD },
  "containerd-plugin-namespace": { verdict: "no effect", takes: "text", flag: "containerd-plugins-namespace", why: CONTAINERD },
  "containerd-plugins-namespace": { verdict: "no effect", takes: "text", why: CONTAINERD },
  "cri-containerd": { verdict: "no effect", takes: "flag", why: CONTAINERD },
  "nri-opts": { verdict: "no effect", takes: "object", flag: null, why: "there are no plugins of that kind" },
  builder: { verdict: "no effect", takes: "object", flag: null, why: "the disk is kept by the key gc" },
  "max-concurrent-downloads": { verdict: "honoured", takes: "number", why: "" },
  "max-concurrent-uploads": { verdict: "honoured", takes: "number", why: "" },
  "max-download-attempts": { verdict: "honoured", takes: "number", why: "" },
  "insecure-registries": { verdict: "honoured", takes: "texts", flag: "insecure-registry", why: "" },
  "registry-mirrors": { verdict: "honoured", takes: "texts", flag: "registry-mirror", why: "" },
  "allow-nondistributable-artifacts": { verdict: "honoured", takes: "texts", why: "" },
  proxies: { verdict: "honoured", takes: "object", flag: null, why: "flags: `--http-proxy`, `--https-proxy`, `--no-proxy`" },

  bridge: {
    verdict: "honoured",
    takes: "text",
    why: '`"none"` is refused: containers would have a network all the same; run them with `--network none`. One that does not exist is made',
  },
  bip: { verdict: "honoured", takes: "text", why: "" },
  bip6: { verdict: "honoured", takes: "text", why: "" },
  ipv6: {
    verdict: "honoured",
    takes: "flag",
    why: "for the default bridge; takes hold at a start without containers in it, as do its subnets",
  },
  "fixed-cidr": { verdict: "honoured", takes: "text", why: "" },
  "fixed-cidr-v6": { verdict: "honoured", takes: "text", why: "" },
  "default-gateway": { verdict: "honoured", takes: "text", why: "" },
  "default-gateway-v6": { verdict: "honoured", takes: "text", why: "" },
  "default-address-pools": { verdict: "honoured", takes: "object", flag: "default-address-pool", why: "" },
  "default-network-opts": { verdict: "honoured", takes: "object", flag: "default-network-opt", why: "" },
  mtu: { verdict: "honoured", takes: "number", why: "" },
  icc: { verdict: "honoured", takes: "flag", why: "" },
  ip: { verdict: "honoured", takes: "text", why: "" },
  "ip-masq": { verdict: "honoured", takes: "flag", why: "" },
  "ip-forward": { verdict: "honoured", takes: "flag", why: "" },
  "ip-forward-no-drop": { verdict: "no effect", takes: "flag", why: "the policies of the host's own chains are never changed" },
  iptables: {
    verdict: "honoured",
    takes: "flag",
    why: "`false` is refused: networks are made of rules, in a table of their own; give containers `--network host` or `none` instead",
  },
  ip6tables: {
    verdict: "no effect",
    takes: "flag",
    idle: [true],
    why: "networks with IPv6 have rules in any case, in a table of their own",
  },
  "firewall-backend": { verdict: "no effect", takes: "text", idle: ["nftables"], why: "rules are nftables', in a table of their own" },
  "bridge-accept-fwmark": { verdict: "no effect", takes: "text", why: "a mark opens nothing: packets with it are judged as all others" },
  "allow-direct-routing": {
    verdict: "no effect",
    takes: "flag",
    why: "containers' own addresses stay closed to other hosts; the network option com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected opens those of one network",
  },
  "userland-proxy": { verdict: "honoured", takes: "flag", why: "either way: one process carries what no rule can, while it is needed" },
  "userland-proxy-path": { verdict: "no effect", takes: "text", why: "what carries ports that no rule can is part of the daemon" },
  "network-control-plane-mtu": { verdict: "no effect", takes: "number", idle: [1500], why: SWARM },
  "network-diagnostic-port": { verdict: "no effect", takes: "number", flag: null, why: SWARM },
  "host-gateway-ip": { verdict: "honoured", takes: "text", flag: null, why: "the older name of the next" },
  "host-gateway-ips": { verdict: "honoured", takes: "texts", flag: "host-gateway-ip", why: "the first IPv4 address, or the first" },
  dns: { verdict: "honoured", takes: "texts", why: "" },
  "dns-opts": { verdict: "honoured", takes: "texts", flag: "dns-opt", why: "" },
  "dns-search": { verdict: "honoured", takes: "texts", why: "" },
  "resolv-conf": { verdict: "no effect", takes: "text", flag: null, why: "name servers are those of /etc/resolv.conf, or of the key dns" },
};

/** Takes a key that has no effect here, or refuses it. False for one that is honoured, or unknown. Throws `invalid`, `unsupported`. */
export function applyDockerKey(notes: string[], key: string, value: unknown): boolean {
  const known = Object.hasOwn(DOCKER_KEYS, key) ? DOCKER_KEYS[key] : undefined;
  if (known === undefined || known.verdict === "honoured") return false;
  if (!isOf(known.takes, value)) throw wrongValue(key, WORDS[known.takes]);
  const idle = known.idle ?? [false];
  if (isIdle(value) || idle.includes(value)) return true;
  if (known.verdict === "refused" || (key === "selinux-enabled" && hasSelinux()))
    throw new LighterError("unsupported", `Cannot use "${key}": ${known.why}`);
  notes.push(`"${key}" has no effect: ${known.why}`);
  return true;
}

const WORDS: Readonly<Record<DockerKey["takes"], string>> = {
  text: "a string",
  flag: "true or false",
  number: "a whole number",
  texts: "a list of strings",
  object: "an object",
};

function isOf(takes: DockerKey["takes"], value: unknown): boolean {
  if (takes === "texts") return Array.isArray(value) && value.every((item) => typeof item === "string");
  if (takes === "object") return isObject(value);
  if (takes === "number") return Number.isSafeInteger(value);
  return typeof value === (takes === "text" ? "string" : "boolean");
}

/** What asks for nothing. */
function isIdle(value: unknown): boolean {
  if (value === "" || value === 0) return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** Whether this host labels its files and processes. */
function hasSelinux(): boolean {
  const path = "/sys/fs/selinux/enforce";
  return existsSync(path) && readFileSync(path, "utf8").trim() === "1";
}
