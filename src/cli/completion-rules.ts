import {
  containers,
  contexts,
  copyPaths,
  drivers,
  environment,
  files,
  folders,
  images,
  mirroredRegistries,
  mirrorsOf,
  networks,
  nothing,
  portsOf,
  runtimes,
  together,
  volumes,
  words,
  type Source,
} from "./completion-values.ts";

/** What an argument may be, by those that stand before it. */
type Rule = (before: readonly string[]) => Source;

function first(source: Source): Rule {
  return (before) => (before.length === 0 ? source : nothing);
}

const anyObject = together(containers(), images, volumes, networks);
const STOPPED = ["created", "exited", "dead"];
const KNOWN_CONTEXTS = contexts({ standing: false });

/** Arguments by the command's words without `container` and `image`; commands that are not here take no words that can be offered. */
const ARGUMENTS: Readonly<Record<string, { rule: Rule }>> = {
  ...each("attach top stats", () => containers("running", "paused")),
  ...each("exec", first(containers("running"))),
  ...each("stop kill wait", () => containers("running", "paused", "restarting")),
  ...each("pause", () => containers("running")),
  ...each("ports", first(containers("running"))),
  ...each("unpause", () => containers("paused")),
  ...each("start", () => containers(...STOPPED)),
  ...each("rm", () => containers(...STOPPED)),
  ...each("restart update", () => containers()),
  ...each("logs export diff rename commit", first(containers())),
  ...each("debug", first(together(containers(), images))),
  ...each("port", (before) => (before[0] === undefined ? containers("running") : before.length === 1 ? portsOf(before[0]) : nothing)),
  ...each("cp", (before) => (before.length < 2 ? copyPaths : nothing)),
  ...each("run create history tag push", first(images)),
  ...each("rmi save pull", () => images),
  ...each("import", first(files)),
  ...each("inspect", () => anyObject),
  "checkpoint create": { rule: first(containers("running")) },
  "checkpoint ls": { rule: first(containers()) },
  "checkpoint rm": { rule: first(containers()) },
  "container inspect": { rule: () => containers() },
  "image inspect": { rule: () => images },
  "image rm": { rule: () => images },
  "mirror add": { rule: first(mirroredRegistries) },
  "mirror ls": { rule: first(mirroredRegistries) },
  "mirror rm": { rule: ([registry]) => (registry === undefined ? together(mirroredRegistries, mirrorsOf()) : mirrorsOf(registry)) },
  "mirror test": { rule: first(mirroredRegistries) },
  "network rm": { rule: () => networks },
  "network inspect": { rule: () => networks },
  "network connect": { rule: (before) => [networks, containers()][before.length] ?? nothing },
  "network disconnect": { rule: (before) => [networks, containers()][before.length] ?? nothing },
  "volume rm": { rule: () => volumes },
  "volume inspect": { rule: () => volumes },
  "volume backup": { rule: first(volumes) },
  "volume clone": { rule: first(volumes) },
  "volume diff": { rule: (before) => (before.length === 0 ? volumes : together(volumes, files)) },
  "volume du": { rule: () => volumes },
  "volume mv": { rule: first(volumes) },
  "volume push": { rule: first(volumes) },
  "context use": { rule: first(contexts({ standing: true })) },
  "context inspect": { rule: () => contexts({ standing: true }) },
  "context export": { rule: (before) => [contexts({ standing: true }), files][before.length] ?? nothing },
  "context import": { rule: (before) => [nothing, files][before.length] ?? nothing },
  "context rm": { rule: () => KNOWN_CONTEXTS },
  "context update": { rule: first(KNOWN_CONTEXTS) },
  completion: { rule: first(words("bash", "zsh", "fish", "powershell")) },
};

function each(names: string, rule: Rule): Record<string, { rule: Rule }> {
  return Object.fromEntries(names.split(" ").map((name) => [name, { rule }]));
}

/** What may be the next argument of a command. */
export function argumentSource(path: string, before: readonly string[]): Source {
  const entry = ARGUMENTS[path] ?? ARGUMENTS[path.replace(/^(container|image) /, "")];
  return entry?.rule(before) ?? nothing;
}

const SIGNALS =
  "ABRT ALRM BUS CHLD CONT FPE HUP ILL INT IO KILL PIPE PROF PWR QUIT SEGV STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ"
    .split(" ")
    .map((name) => `SIG${name}`);
const CAPABILITIES =
  "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM".split(
    " ",
  );
const ULIMITS =
  "as chroot core cpu data fsize locks maxlogins maxsyslogins memlock msgqueue nice nofile nproc priority rss rtprio sigpending stack".split(
    " ",
  );
const FORMATS = words(
  { value: "json", help: "one JSON object a line" },
  { value: "table", help: "the table" },
  { value: "{{json .}}", help: "a Go template" },
);
const PLATFORMS = words("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/riscv64", "linux/s390x");
const SIGNAL_NAMES = words(...SIGNALS);
const CAPABILITY_NAMES = words(...CAPABILITIES);

/** Values of flags by their names, where the name says it whatever the command. */
const VALUES: Readonly<Record<string, Source>> = {
  "cap-add": CAPABILITY_NAMES,
  "cap-drop": CAPABILITY_NAMES,
  cgroupns: words("host", "private"),
  cidfile: files,
  config: folders,
  context: contexts({ standing: true }),
  device: files,
  egress: words("none", "any"),
  env: environment,
  "env-file": files,
  format: FORMATS,
  "health-on-failure": words("none", "kill", "restart", "stop"),
  from: contexts({ standing: true }),
  htpasswd: files,
  input: files,
  ipc: words("host", "private", "shareable", "none", "container:"),
  isolation: words("default"),
  "label-file": files,
  link: containers("running"),
  "log-driver": drivers("Log"),
  "log-level": words("debug", "info", "warn", "error", "fatal"),
  "log-opt": words("max-size=", "max-file=", "mode=", "labels=", "env=", "tag="),
  mount: words("type=bind,", "type=volume,", "type=tmpfs,", "type=image,"),
  network: together(networks, words("container:")),
  output: files,
  pid: words("host", "container:"),
  platform: PLATFORMS,
  pull: words("always", "missing", "never"),
  rights: files,
  restart: words(
    { value: "no", help: "stays down" },
    { value: "always", help: "whatever its exit code" },
    { value: "on-failure", help: "when it fails" },
    { value: "unless-stopped", help: "but not after a stop" },
  ),
  runtime: runtimes,
  scope: words("local", "global", "swarm"),
  "security-opt": words("apparmor=", "label=", "no-new-privileges", "seccomp=", "systempaths=unconfined"),
  signal: SIGNAL_NAMES,
  "stop-signal": SIGNAL_NAMES,
  tlscacert: files,
  tlscert: files,
  tlskey: files,
  ulimit: words(...ULIMITS.map((name) => `${name}=`)),
  userns: words("host"),
  uts: words("host"),
  volume: together(volumes, folders),
  "volume-driver": drivers("Volume"),
  "volumes-from": containers(),
};

const CONTAINER_FILTERS = words(
  "ancestor=",
  "before=",
  "exited=",
  "expose=",
  "health=",
  "id=",
  "is-task=",
  "label=",
  "name=",
  "network=",
  "publish=",
  "since=",
  "status=",
  "volume=",
);
const IMAGE_FILTERS = words("before=", "dangling=", "label=", "reference=", "since=", "until=");
const EVENT_FILTERS = words("container=", "daemon=", "event=", "image=", "label=", "network=", "scope=", "type=", "volume=");

/** Values that depend on the command, too. */
const VALUES_OF: Readonly<Record<string, Source>> = {
  "inspect --type": words("config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"),
  "network create --driver": drivers("Network"),
  "volume create --driver": drivers("Volume"),
  "context create --docker": words("host=", "ca=", "cert=", "key=", "skip-tls-verify=", "from="),
  "context update --docker": words("host=", "ca=", "cert=", "key=", "skip-tls-verify=", "from="),
  "run --attach": words("stdin", "stdout", "stderr"),
  "create --attach": words("stdin", "stdout", "stderr"),
  "ps --filter": CONTAINER_FILTERS,
  "ls --filter": CONTAINER_FILTERS,
  "images --filter": IMAGE_FILTERS,
  "image ls --filter": IMAGE_FILTERS,
  "events --filter": EVENT_FILTERS,
  "system events --filter": EVENT_FILTERS,
  "network ls --filter": words("dangling=", "driver=", "id=", "label=", "name=", "scope=", "type="),
  "volume ls --filter": words("dangling=", "driver=", "label=", "name="),
  "prune --filter": words("label=", "label!=", "until="),
};

/** What may be the value of a flag. */
export function valueSource(path: string, flag: string): Source {
  const short = path.replace(/^(container|image) /, "");
  const of =
    VALUES_OF[`${path} --${flag}`] ??
    VALUES_OF[`${short} --${flag}`] ??
    (path.endsWith(" prune") ? VALUES_OF[`prune --${flag}`] : undefined);
  return of ?? VALUES[flag] ?? nothing;
}
