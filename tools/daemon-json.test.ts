import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../src/base/errors.ts";
import { isFlag, keysOfFlags, parseFlags } from "../src/daemon-flags.ts";
import { applyKeys, completeConfig, type FileConfig, readConfigFile } from "../src/engine/config.ts";
import { DOCKER_KEYS } from "../src/engine/docker-keys.ts";
import { daemonJsonPage, PAGE } from "./daemon-json.ts";

/** Every key that dockerd 20.10 to 29 takes, with a value that asks for something. */
const SAMPLES: Record<string, unknown> = {
  "allow-direct-routing": true,
  "allow-nondistributable-artifacts": ["registry.example:5000"],
  "api-cors-header": "*",
  "apparmor-profile": "/etc/docker/apparmor",
  "authorization-plugins": ["authz"],
  bip: "10.7.0.1/24",
  bip6: "fd00:7::1/64",
  bridge: "docker1",
  "bridge-accept-fwmark": "0x1/0x3",
  builder: { gc: { enabled: true, defaultKeepStorage: "10GB" } },
  "cdi-spec-dirs": ["/etc/cdi"],
  "cgroup-parent": "/docker",
  "cluster-advertise": "192.0.2.1:2376",
  "cluster-store": "consul://192.0.2.1:8500",
  "cluster-store-opts": { "kv.path": "x" },
  containerd: "/run/containerd/containerd.sock",
  "containerd-namespace": "docker",
  "containerd-plugin-namespace": "plugins",
  "containerd-plugins-namespace": "plugins",
  "cpu-rt-period": 1000000,
  "cpu-rt-runtime": 950000,
  "cri-containerd": true,
  "data-root": "/mnt/data",
  debug: true,
  "default-address-pools": [{ base: "10.128.0.0/16", size: 24 }],
  "default-cgroupns-mode": "private",
  "default-gateway": "10.7.0.254",
  "default-gateway-v6": "fd00:7::254",
  "default-init": "docker-init",
  "default-ipc-mode": "private",
  "default-network-opts": { bridge: { "com.docker.network.driver.mtu": "1450" } },
  "default-runtime": "runc",
  "default-shm-size": "128M",
  "default-stop-timeout": 20,
  "default-ulimits": { nofile: { Name: "nofile", Hard: 64000, Soft: 64000 } },
  "deprecated-key-path": "/etc/docker/key.json",
  dns: ["192.0.2.53"],
  "dns-opts": ["ndots:1"],
  "dns-search": ["example.org"],
  "exec-opts": ["native.cgroupdriver=systemd"],
  "exec-root": "/run/other",
  experimental: true,
  features: { "containerd-snapshotter": true },
  "firewall-backend": "iptables",
  "fixed-cidr": "10.7.0.128/25",
  "fixed-cidr-v6": "fd00:7::/80",
  group: "adm",
  "host-gateway-ip": "192.0.2.1",
  "host-gateway-ips": ["fd00::1", "192.0.2.1"],
  hosts: ["unix:///run/other.sock"],
  icc: false,
  init: true,
  "init-path": "/usr/bin/tini",
  "insecure-registries": ["registry.example:5000"],
  ip: "127.0.0.1",
  "ip-forward": true,
  "ip-forward-no-drop": true,
  "ip-masq": true,
  ip6tables: false,
  iptables: true,
  ipv6: true,
  labels: ["a=b"],
  "live-restore": false,
  "log-driver": "local",
  "log-format": "json",
  "log-level": "warn",
  "log-opts": { "max-size": "10m" },
  "max-concurrent-downloads": 6,
  "max-concurrent-uploads": 6,
  "max-download-attempts": 6,
  "metrics-addr": "127.0.0.1:9323",
  "min-api-version": "1.44",
  mtu: 1450,
  "network-control-plane-mtu": 1400,
  "network-diagnostic-port": 2000,
  "no-new-privileges": true,
  "node-generic-resources": ["gpu=1"],
  "nri-opts": { enable: true },
  "oom-score-adjust": -500,
  pidfile: "/run/other.pid",
  proxies: { "http-proxy": "http://proxy.example:3128" },
  "raw-logs": true,
  "registry-mirrors": ["https://mirror.example"],
  "resolv-conf": "/etc/resolv.other",
  rootless: true,
  runtimes: { kata: { path: "/usr/bin/kata-runtime", runtimeArgs: ["--debug"] } },
  "seccomp-profile": "unconfined",
  "selinux-enabled": true,
  "shutdown-timeout": 30,
  "storage-driver": "overlay2",
  "storage-opts": ["overlay2.override_kernel_check=true"],
  "swarm-default-advertise-addr": "192.0.2.1",
  "swarm-raft-election-tick": 10,
  "swarm-raft-heartbeat-tick": 1,
  tls: true,
  tlscacert: "/etc/docker/ca.pem",
  tlscert: "/etc/docker/cert.pem",
  tlskey: "/etc/docker/key.pem",
  tlsverify: true,
  "userland-proxy": false,
  "userland-proxy-path": "/usr/bin/docker-proxy",
  "userns-remap": "default",
};

/** Flags of dockerd 29's that are no keys. */
const FLAGS = ["add-runtime", "config-file", "help", "http-proxy", "https-proxy", "no-proxy", "validate", "version"];

function read(json: Record<string, unknown>): FileConfig {
  const folder = mkdtempSync(join(tmpdir(), "lighter-keys-"));
  try {
    writeFileSync(join(folder, "daemon.json"), JSON.stringify(json));
    return readConfigFile(join(folder, "daemon.json"), { required: true });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function failure(json: Record<string, unknown>): string {
  try {
    read(json);
    return "";
  } catch (error) {
    return messageOf(error);
  }
}

test("the table has all keys of dockerd's, and no others", () => {
  expect(Object.keys(DOCKER_KEYS).sort()).toEqual(Object.keys(SAMPLES).sort());
});

test.each(Object.entries(SAMPLES))("%s is honoured, told to have no effect, or refused with advice", (key, value) => {
  const { verdict, why } = DOCKER_KEYS[key] ?? { verdict: "", why: "" };
  if (verdict === "refused") return expect(failure({ [key]: value })).toBe(`Cannot use "${key}": ${why}`);
  const { notes, ...file } = read({ [key]: value });
  expect(notes).toEqual(verdict === "honoured" ? [] : [`"${key}" has no effect: ${why}`]);
  const { notes: _none, ...empty } = read({});
  // What is honoured and changes nothing that is kept says so in the table.
  const changes = !Bun.deepEquals(file, empty);
  expect(changes || why !== "" || key === "iptables").toBe(true);
  expect(changes && verdict === "no effect").toBe(false);
});

test("an empty value asks for nothing, a wrong one is refused by the key's name", () => {
  for (const key of Object.keys(DOCKER_KEYS)) {
    for (const none of ["", null]) expect(read({ [key]: none }).notes).toEqual([]);
    expect([key, failure({ [key]: 7.5 })]).toEqual([key, expect.stringMatching(/Cannot use|invalid max|must be/)]);
  }
  expect(read({ rootless: false, "authorization-plugins": [], "live-restore": true, "userns-remap": "" }).notes).toEqual([]);
  expect(read({ hosts: [] }).hosts).toBe(undefined);
  expect(read({ "host-gateway-ips": [] }).engine.networkDefaults).toEqual({});
  expect(completeConfig(read({ "default-address-pools": [] }).engine).addressPools).toEqual(completeConfig({}).addressPools);
  expect(failure({ constructor: 1 })).toContain('unknown key "constructor"');
});

test("values that only some hosts or drivers can have", () => {
  expect(failure({ bridge: "none" })).toContain("--network none");
  expect(failure({ iptables: false })).toContain('"iptables": false');
  expect(read({ "storage-driver": "btrfs" }).notes).toEqual([expect.stringContaining("mounted by overlayfs")]);
  expect(failure({ "storage-driver": "nonsense" })).toContain('"nonsense"');
  expect(failure({ "storage-opts": ["dm.basesize=10G"] })).toContain("overlay2.size");
  expect(read({ "storage-opts": ["overlay2.size=10G"] }).engine.containers?.storageSize).toBe(10 * 2 ** 30);
  const { engine, notes } = read({
    runtimes: {
      by_name: { runtimeType: "io.containerd.runc.v2", options: { BinaryName: "/usr/bin/crun" } },
      shim: { runtimeType: "io.containerd.kata.v2" },
    },
  });
  expect(engine.runtimes).toEqual({ by_name: { path: "/usr/bin/crun" } });
  expect(notes).toEqual([expect.stringContaining('runtime "shim" is left out')]);
  expect(failure({ runtimes: { x: {} } })).toContain("either a runtimeType or a path must be configured");
  expect(failure({ "default-network-opts": { bridge: "x" } })).toContain('"default-network-opts"');
  expect(failure({ "fixed-cidr-v6": "10.0.0.0/8" })).toContain("an IPv6 subnet");
});

test("roots are absolute, whatever is said", () => {
  const { engine } = read({ "data-root": "some/data/", "exec-root": "run" });
  const whole = completeConfig({ dataRoot: join(process.cwd(), "some/data") });
  expect(completeConfig(engine)).toMatchObject({ dataRoot: whole.dataRoot, execRoot: join(process.cwd(), "run"), scope: whole.scope });
  expect(completeConfig({})).toMatchObject({ dataRoot: "/var/lib/lighter", execRoot: "/run/lighter", scope: "lighter" });
});

test("dockerd's flags are known, and those that are keys say what the keys say", () => {
  const names = Object.entries(DOCKER_KEYS).flatMap(([key, { flag }]) => (flag === null ? [] : [flag ?? key]));
  expect([...names, ...FLAGS].filter((name) => !isFlag(name))).toEqual([]);
  const flags = parseFlags(
    ["--ipv6 --bip6 fd00::1/64 -b docker1 -G adm -s overlay2 --feature x --feature y=false --cpu-rt-period 5 --raw-logs=false"]
      .concat("--default-network-opt bridge=com.docker.network.driver.mtu=1450 --host-gateway-ip 192.0.2.1 --storage-opt overlay2.size=1g")
      .flatMap((line) => line.split(" ")),
  );
  const json = keysOfFlags(flags);
  expect(json).toEqual({
    ipv6: true,
    bip6: "fd00::1/64",
    bridge: "docker1",
    group: "adm",
    "storage-driver": "overlay2",
    features: { x: true, y: false },
    "cpu-rt-period": 5,
    "raw-logs": false,
    "default-network-opts": { bridge: { "com.docker.network.driver.mtu": "1450" } },
    "host-gateway-ips": ["192.0.2.1"],
    "storage-opts": ["overlay2.size=1g"],
  });
  const file = read({ bip6: "fd00::2/64", mtu: 1400 });
  applyKeys(file, json, { where: "the command line", path: "" });
  expect(file.engine.networkDefaults).toMatchObject({ ipv6: true, bip6: "fd00::1/64", mtu: 1400, hostGateway: "192.0.2.1" });
  expect(completeConfig(file.engine)).toMatchObject({ bridgeName: "docker1", containers: { storageSize: 2 ** 30 } });
});

test(`${PAGE} is as the table has it`, async () => {
  expect(await Bun.file(join(import.meta.dir, "..", PAGE)).text()).toBe(daemonJsonPage());
});
