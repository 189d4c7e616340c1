import type { ContainerConfig, HostConfig } from "../../src/wire/engine-api.ts";

/** A line of the table: flags, a script with what it prints, and what inspect says (`HostConfig`, `Config`). */
export interface Line {
  flags: string;
  script?: string;
  inside?: string | RegExp;
  host?: HostConfig;
  config?: ContainerConfig;
}

/** A field of `/proc/self/status`. */
export const status = (name: string): string => `sed -n 's/^${name}:\\s*//p' /proc/self/status`;
const cgroup = (v1: string, v2: string): string => `cat /sys/fs/cgroup/${v1} 2>/dev/null || cat /sys/fs/cgroup/${v2}`;
/** The options of a mount and of its file system. */
export const mount = (place: string): string => `awk '$5 == "${place}"' /proc/self/mountinfo | cut -d' ' -f6- | sed 's/ - / /'`;
/** A resource limit of the shell. */
export const limit = (name: string): string => `sed -n 's/^Max ${name} *//p' /proc/self/limits | tr -s ' '`;
const MB = 1 << 20;

/** The flags of run, by what they are about. SOURCE, ENV, LABELS and PLATFORM stand for what the suite has made. */
export const LINES: Record<string, Line[]> = {
  limits: [
    {
      flags: "-m 64m",
      script: cgroup("memory/memory.limit_in_bytes", "memory.max"),
      inside: `${64 * MB}`,
      host: { Memory: 64 * MB, MemorySwap: 128 * MB },
    },
    { flags: "-m 64m --memory-swap -1", host: { MemorySwap: -1 } },
    {
      flags: "--memory-reservation 32m",
      script: cgroup("memory/memory.soft_limit_in_bytes", "memory.low"),
      inside: `${32 * MB}`,
      host: { MemoryReservation: 32 * MB },
    },
    {
      flags: "--cpus 0.5",
      script: `${cgroup("cpu/cpu.cfs_quota_us", "cpu.max")} | cut -d' ' -f1`,
      inside: "50000",
      host: { NanoCpus: 5e8 },
    },
    {
      flags: "--cpu-quota 20000 --cpu-period 50000",
      script: cgroup("cpu/cpu.cfs_period_us", "cpu.max"),
      inside: /50000$/,
      host: { CpuQuota: 20_000, CpuPeriod: 50_000 },
    },
    { flags: "--cpu-quota -5", inside: "" },
    { flags: "-c 512", script: cgroup("cpu/cpu.shares", "cpu.weight"), inside: /^(512|20|59)$/, host: { CpuShares: 512 } },
    { flags: "--cpuset-cpus 0", script: status("Cpus_allowed_list"), inside: "0", host: { CpusetCpus: "0" } },
    { flags: "--pids-limit 50", script: cgroup("pids/pids.max", "pids.max"), inside: "50", host: { PidsLimit: 50 } },
    {
      flags: "--ulimit nofile=1024:2048 --ulimit core=0",
      script: limit("open files"),
      inside: /^1024 2048/,
      host: {
        Ulimits: [
          { Name: "nofile", Hard: 2048, Soft: 1024 },
          { Name: "core", Hard: 0, Soft: 0 },
        ],
      },
    },
    { flags: "--oom-score-adj 500", script: "cat /proc/self/oom_score_adj", inside: "500", host: { OomScoreAdj: 500 } },
    { flags: "--shm-size 12m", script: mount("/dev/shm"), inside: /tmpfs shm rw,size=12288k/, host: { ShmSize: 12 * MB } },
  ],
  rights: [
    { flags: "", script: status("CapEff"), inside: "00000000a80425fb" },
    {
      flags: "--cap-drop ALL --cap-add chown --cap-add CAP_KILL",
      script: status("CapEff"),
      inside: "0000000000000021",
      host: { CapAdd: ["CAP_CHOWN", "CAP_KILL"], CapDrop: ["ALL"] },
    },
    { flags: "--cap-add ALL --cap-drop NET_RAW", script: `[ $((0x$(${status("CapBnd")}) & 0x2000)) = 0 ] && echo none`, inside: "none" },
    { flags: "--security-opt no-new-privileges", script: status("NoNewPrivs"), inside: "1", host: { SecurityOpt: ["no-new-privileges"] } },
    { flags: "--security-opt no-new-privileges=false", script: status("NoNewPrivs"), inside: "0" },
    { flags: "--security-opt seccomp=unconfined", script: status("Seccomp"), inside: "0" },
    { flags: "--security-opt seccomp=builtin", script: status("Seccomp"), inside: "2" },
    {
      flags: "--security-opt systempaths=unconfined",
      script: "grep -c ' /proc/[a-z]' /proc/self/mountinfo",
      inside: "0",
      host: { MaskedPaths: [], ReadonlyPaths: [] },
    },
    { flags: "--security-opt label=disable", host: { SecurityOpt: ["label=disable"] } },
    {
      flags: "--privileged",
      script: `${status("Seccomp")}; ${mount("/sys")} | cut -c1-2; [ -e /dev/tty1 ] || [ -e /dev/kmsg ] && echo devices`,
      inside: "0\nrw\ndevices",
      host: { Privileged: true, SecurityOpt: ["label=disable"] },
    },
    { flags: "--privileged --read-only", script: `${mount("/sys")} | cut -c1-2; ${mount("/")} | cut -c1-2`, inside: "ro\nro" },
    { flags: "-u 1000:1001", script: "id", inside: "uid=1000 gid=1001 groups=1001", config: { User: "1000:1001" } },
    { flags: "-u 7 --group-add 777", script: "id -G", inside: "0 777", host: { GroupAdd: ["777"] } },
    { flags: "--userns host", script: "cat /proc/self/uid_map | tr -s ' '", inside: /4294967295/, host: { UsernsMode: "host" } },
  ],
  namespaces: [
    { flags: "--pid container:donor", script: "cat /proc/1/comm", inside: "sleep" },
    { flags: "--ipc container:donor", script: mount("/dev/shm"), inside: /size=3072k/ },
    {
      flags: "--ipc shareable --shm-size 2m",
      script: mount("/dev/shm"),
      inside: /nosuid,nodev,noexec.*size=2048k/,
      host: { IpcMode: "shareable" },
    },
    { flags: "--ipc none", script: "ls -d /dev/shm 2>/dev/null || echo none", inside: "none", host: { IpcMode: "none" } },
    { flags: "--ipc private", host: { IpcMode: "private" } },
    { flags: "--network container:donor", script: "wc -l < /etc/hosts", inside: /^\d+$/ },
    {
      flags: "--cgroupns private",
      script: "sed -n 's/.*memory://p; s/^0:://p' /proc/self/cgroup | head -1",
      inside: /^\/$/,
      host: { CgroupnsMode: "private" },
    },
    {
      flags: "-h boat --domainname sea.example",
      script: "hostname; cat /proc/sys/kernel/domainname; grep -c boat.sea.example /etc/hosts",
      inside: "boat\nsea.example\n1",
      config: { Hostname: "boat", Domainname: "sea.example" },
    },
    {
      flags: "--sysctl net.core.somaxconn=1234 --sysctl kernel.shmmax=1000000 --sysctl fs.mqueue.msg_max=11",
      script: "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax /proc/sys/fs/mqueue/msg_max",
      inside: "1234\n1000000\n11",
      host: { Sysctls: { "net.core.somaxconn": "1234", "kernel.shmmax": "1000000", "fs.mqueue.msg_max": "11" } },
    },
  ],
  devices: [
    {
      flags: "--device /dev/zero:/dev/nil:r",
      script: "head -c 3 /dev/nil | wc -c",
      inside: "3",
      host: { Devices: [{ PathOnHost: "/dev/zero", PathInContainer: "/dev/nil", CgroupPermissions: "r" }] },
    },
    { flags: "--device-cgroup-rule c\u00a042:*\u00a0rmw", host: { DeviceCgroupRules: ["c 42:* rmw"] } },
  ],
  files: [
    {
      flags: "-v SOURCE:/m",
      script: `cat /m/file; ${mount("/m")} | cut -c1-2`,
      inside: "from the host\nrw",
      host: { Binds: ["SOURCE:/m"] },
    },
    { flags: "-v SOURCE:/m:ro", script: mount("/m"), inside: /^ro/ },
    { flags: "--mount type=bind,src=SOURCE,dst=/m,readonly", script: "touch /m/x 2>&1 | grep -o 'Read-only'", inside: "Read-only" },
    { flags: "--mount type=bind,src=SOURCE/file,dst=/m", script: "cat /m", inside: "from the host" },
    { flags: "--mount type=volume,dst=/etc,volume-nocopy", script: "ls /etc | sort | tr '\\n' ' '", inside: "hostname hosts resolv.conf" },
    { flags: "--mount type=volume,src=flags-volume,dst=/m,volume-label=a=b", script: "touch /m/x && echo ok", inside: "ok" },
    {
      flags: "--mount type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=700",
      script: `${mount("/m")}; stat -c %a /m`,
      inside: /tmpfs tmpfs rw,size=1024k,mode=700[^\n]*\n700$/,
    },
    { flags: "--mount type=image,src=busybox,dst=/m", script: "ls /m/bin/busybox", inside: "/m/bin/busybox" },
    {
      flags: "--mount type=image,src=busybox,dst=/m,image-subpath=etc",
      script: "[ -d /m ] && touch /m/x 2>/dev/null || echo read-only",
      inside: "read-only",
    },
    {
      flags: "--tmpfs /m:size=1m,uid=5,exec",
      script: `${mount("/m")}; stat -c %u /m`,
      inside: /^rw,nosuid,nodev,relatime.*size=1024k.*\n5$/,
      host: { Tmpfs: { "/m": "size=1m,uid=5,exec" } },
    },
    {
      flags: "--read-only --tmpfs /run",
      script: "touch /x 2>/dev/null || echo no; touch /run/x && echo yes",
      inside: "no\nyes",
      host: { ReadonlyRootfs: true },
    },
    { flags: "--volumes-from donor:ro", script: mount("/anonymous"), inside: /^ro/, host: { VolumesFrom: ["donor:ro"] } },
    { flags: "-w /made/here", script: "pwd; stat -c '%a %u' .", inside: "/made/here\n755 0", config: { WorkingDir: "/made/here" } },
  ],
  process: [
    { flags: "--env-file ENV -e C=3 -e B", script: "echo $A,$B,$C", inside: "1,,3" },
    { flags: "-e PATH=/bin:/x", script: "echo $PATH", inside: "/bin:/x" },
    { flags: "-l a=b -l c --label-file LABELS", config: { Labels: { a: "b", c: "", one: "1" } } },
    { flags: "--init", script: "cat /proc/1/comm", inside: /^(docker-init|tini|catatonit)/, host: { Init: true } },
    { flags: "--stop-signal SIGINT --stop-timeout 3", config: { StopSignal: "SIGINT", StopTimeout: 3 } },
    {
      flags: "--add-host a:1.2.3.4 --add-host b=::1",
      script: "grep -E '\\b[ab]$' /etc/hosts | tr '\\t' ' '",
      inside: "1.2.3.4 a\n::1 b",
      host: { ExtraHosts: ["a:1.2.3.4", "b:::1"] },
    },
    { flags: "--add-host gate:host-gateway", script: "sed -n 's/\\tgate$//p' /etc/hosts", inside: /^[\d.]+$/ },
    {
      flags: "--dns 9.9.9.9 --dns-search sea.example --dns-option ndots:3",
      script: "grep -E '^(search|options)' /etc/resolv.conf | sort",
      inside: "options ndots:3\nsearch sea.example",
      host: { Dns: ["9.9.9.9"], DnsSearch: ["sea.example"], DnsOptions: ["ndots:3"] },
    },
    { flags: "--annotation a=b", host: { Annotations: { a: "b" } } },
    { flags: "--runtime io.containerd.runc.v2", host: { Runtime: "io.containerd.runc.v2" } },
    {
      flags: "--log-opt max-size=1m --log-opt max-file=2",
      host: { LogConfig: { Type: "json-file", Config: { "max-size": "1m", "max-file": "2" } } },
    },
    {
      flags: "--health-cmd true --health-interval 50s --health-retries 2",
      config: { Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 50e9, Retries: 2 } },
    },
    { flags: "--no-healthcheck", config: { Healthcheck: { Test: ["NONE"] } } },
    { flags: "--restart on-failure:2", host: { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 2 } } },
    { flags: "--platform linux/PLATFORM --pull never --isolation default", inside: "" },
  ],
};

/** Flags that mean nothing, and a part of the sentence that says so. */
export const REFUSED: [string, string][] = [
  ["-m 1m", "Minimum memory limit allowed is 6MB"],
  ["-m foo", `invalid argument "foo" for "-m, --memory" flag: invalid size: 'foo'`],
  ["-m 64m --memory-swap 32m", "Minimum memoryswap limit should be larger than memory limit, see usage"],
  ["--memory-swappiness 101", "invalid value: 101. Valid memory swappiness range is 0-100"],
  ["--memory-reservation 1m", "Minimum memory reservation allowed is 6MB"],
  ["--cpus 1000", "range of CPUs is from 0.01 to"],
  ["--cpus 1 --cpu-quota 1000", "Conflicting options: Nano CPUs and CPU Quota cannot both be set"],
  ["--cpu-period 10", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"],
  ["--cpu-quota 10", "CPU cfs quota can not be less than 1ms (i.e. 1000)"],
  ["--cpuset-cpus 9999", "Requested CPUs are not available - requested 9999, available:"],
  ["--cpuset-cpus 1-0", "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"],
  ["--pids-limit x", `invalid argument "x" for "--pids-limit" flag`],
  ["--blkio-weight-device /dev/null:5", "invalid weight for device: /dev/null:5"],
  ["--device-read-bps /dev/null:x", "invalid rate for device: /dev/null:x"],
  ["--device-read-iops /dev/nosuch:5", "stat /dev/nosuch: no such file or directory"],
  ["--ulimit nofile=10:5", "ulimit soft limit must be less than or equal to hard limit: 10 > 5"],
  ["--ulimit foo=1", "invalid ulimit type: foo"],
  ["--oom-score-adj 1001", "Invalid value 1001, range for oom score adj is [-1000, 1000]"],
  ["--cap-add FOO", `invalid CapAdd: unknown capability: "CAP_FOO"`],
  ["--security-opt foo=bar", `invalid --security-opt 2: "foo=bar"`],
  ["--security-opt no-new-privileges=maybe", `invalid --security-opt 2: "no-new-privileges=maybe"`],
  ["--security-opt writable-cgroups=maybe", `invalid --security-opt 2: "writable-cgroups=maybe"`],
  ["--security-opt seccomp=/nonexistent", "opening seccomp profile (/nonexistent) failed"],
  ["-u nosuch", "unable to find user nosuch: no matching entries in passwd file"],
  ["-u 99999999999", "uids and gids must be in range 0-2147483647"],
  ["--group-add nosuch", "unable to find group nosuch: no matching entries in group file"],
  ["--userns private", "--userns: invalid USER mode"],
  ["--pid foo", "--pid: invalid PID mode"],
  ["--pid container:nosuch", "No such container: nosuch"],
  ["--ipc foo", "invalid IPC mode: foo"],
  ["--uts host -h x", "conflicting options: hostname and the UTS mode"],
  ["--cgroupns foo", "--cgroupns: invalid CGROUP mode"],
  ["--device /dev/null:/x:q", "bad mode specified: q"],
  ["--device relative", "relative is not an absolute path"],
  ["--device /dev/nosuch", `error gathering device information while adding custom device "/dev/nosuch": no such file or directory`],
  ["--device-cgroup-rule foo", "invalid device cgroup format 'foo'"],
  ["--device vendor.com/class=nosuch", "CDI device injection failed: unresolvable CDI devices vendor.com/class=nosuch"],
  ["--gpus 1,driver=nosuch", `could not select device driver "nosuch" with capabilities: [[gpu]]`],
  ["--sysctl kernel.hostname=x", "sysctl 'kernel.hostname=x' is not allowed"],
  ["--network host --sysctl net.ipv4.ip_forward=1", "sysctl 'net.ipv4.ip_forward' is not allowed in host network mode"],
  ["--tmpfs x", "invalid mount path: 'x' mount path must be absolute"],
  ["--tmpfs /x:foo", 'invalid tmpfs option ["foo"]'],
  ["--tmpfs /x -v vol:/x", "Duplicate mount point: /x"],
  [
    "--mount type=bind,src=/nonexistent/source,dst=/m",
    `invalid mount config for type "bind": bind source path does not exist: /nonexistent/source`,
  ],
  [
    "--mount type=bind,src=/,dst=/m,bind-recursive=readonly",
    "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
  ],
  ["--mount type=npipe,src=x,dst=/m", "mount type"],
  ["--mount type=cluster,src=x,dst=/m", "mount type"],
  ["--mount type=bind,src=/proc,dst=/m,bind-propagation=rshared", "but it is not a shared mount"],
  ["-v vol:/m:foo", "invalid mode: foo"],
  ["--volumes-from nosuch", "No such container: nosuch"],
  ["--volume-driver nosuch -v other:/m", "nosuch"],
  ["-w relative", "the working directory 'relative' is invalid, it needs to be an absolute path"],
  ["-e =x", "invalid environment variable: =x"],
  ["--env-file /nonexistent", "open /nonexistent: no such file or directory"],
  ["-l =x", "invalid label '=x': empty name"],
  ["--stop-signal FOO", "invalid signal: FOO"],
  ["--add-host a:b", `invalid IP address in add-host: "b"`],
  ["--dns foo", "IP address is not correctly formatted: foo"],
  ["--dns-search a_b", "a_b is not a valid domain"],
  ["--link nosuch:x", "could not get container for nosuch"],
  ["--runtime nosuch", "unknown or invalid runtime name: nosuch"],
  ["--pull sometimes", `invalid pull option: 'sometimes': must be one of "always", "missing" or "never"`],
  ["--storage-opt size=1G", "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"],
  ["--storage-opt foo=1", "Unknown option foo"],
  ["--isolation hyperv", `invalid isolation: "hyperv" - linux only supports 'default'`],
  ["--health-retries -1", "--health-retries cannot be negative"],
  ["--restart always --rm", "conflicting options: cannot specify both --restart and --rm"],
  ["--restart bogus", "invalid restart policy"],
  ["--cidfile /nonexistent/x/y", "failed to create the container ID file: open /nonexistent/x/y: no such file or directory"],
];
