/** `bun tools/daemon-json.ts [--write]`: the page that tells of every key of dockerd's daemon.json, out of the table that the daemon goes by. */
import { DOCKER_KEYS, type DockerKey } from "../src/engine/docker-keys.ts";

export const PAGE = "docs/daemon-json.md";

/** Keys that a SIGHUP brings into force. */
const RELOADED: ReadonlySet<string> = new Set([
  ...["allow-nondistributable-artifacts", "debug", "default-cgroupns-mode", "default-ipc-mode", "default-runtime", "default-shm-size"],
  ...["features", "insecure-registries", "labels", "log-level", "max-concurrent-downloads", "max-concurrent-uploads"],
  ...["max-download-attempts", "proxies", "registry-mirrors", "runtimes", "shutdown-timeout"],
]);

const INTRODUCTION = `# daemon.json

A file that dockerd reads is one that \`lighter daemon\` reads: \`lighter daemon --config-file /etc/docker/daemon.json\`, or a copy as \`/etc/lighter/daemon.json\`. Every key that dockerd knows
is honoured, or has no effect here and the log says why, or is refused with what to do instead, where going on without it would not be what was asked for. A key that nobody knows is
refused, too. An empty value (\`""\` or \`null\`) is none. Flags of dockerd's mean what the keys mean and go over the file, where dockerd refuses a key that is given twice.

    lighter daemon --validate --config-file /etc/docker/daemon.json

reads it, says what has no effect, ends with "configuration OK" and starts nothing; what is refused ends with code 1. \`kill -HUP\` of the daemon (or \`systemctl reload lighter\`) brings the
keys with a ↻ into force and tells of it by the event \`daemon reload\` with Docker's attributes; what is wrong in the file changes nothing.

The two engines share nothing: leave dockerd's \`data-root\` to it (a directory that holds its data is refused), and bring images by \`docker save | lighter load\`.

| key | flag | here | |
|---|---|---|---|
`;

const OWN = `
Lighter's own keys: \`published-ports\` ([who reaches ports](firewall.md)), \`mirrors\` and \`registry-config-path\` ([registries](registries.md)), \`max-layer-size\` ([pull](pull.md)),
\`gc\` ([disk](disk.md)), \`signature-policy\` ([signatures](signatures.md)), \`builtin-registry\` and \`registry\` ([registry](registry.md)), \`network-pool\` (namespaces that are kept
ready, 8).
`;

/** The page as it should be. */
export function daemonJsonPage(): string {
  return INTRODUCTION + Object.entries(DOCKER_KEYS).map(rowOf).join("") + OWN;
}

function rowOf([key, { verdict, flag, why }]: [string, DockerKey]): string {
  const name = flag === null ? "" : `\`--${flag ?? key}\``;
  return `| \`${key}\` | ${name} | ${verdict}${RELOADED.has(key) ? " ↻" : ""} | ${why.replaceAll("|", "\\|")} |\n`;
}

if (import.meta.main) {
  if (process.argv.includes("--write")) await Bun.write(PAGE, daemonJsonPage());
  else process.stdout.write(daemonJsonPage());
}
