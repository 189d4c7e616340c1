import { LighterError } from "../base/errors.ts";
import { command } from "./command.ts";
import { bool, bytes, duration, list, string, type Values } from "./flags.ts";

/** Of `registry serve`: where it listens, who may do what; the rest of its settings stand in the file that `--config` names. */
export const REGISTRY_SERVE_FLAGS = {
  addr: list("Address to listen on: HOST:PORT", { initial: [], shown: "127.0.0.1:5000" }),
  "cache-limit": bytes("Most that repositories of upstreams may take together", { shown: "unlimited" }),
  config: string("File with the settings of the registry, as JSON"),
  data: string("Folder of the registry's data", { initial: "/var/lib/lighter/registry", shown: '"/var/lib/lighter/registry"' }),
  "gc-interval": duration("Remove what nothing needs so often", { shown: "never" }),
  htpasswd: string("File with users and their passwords (bcrypt)"),
  "log-level": string('Least level of messages ("debug", "info", "warn", "error", "fatal")', { initial: "info", shown: '"info"' }),
  "metrics-addr": string("Serve metrics for Prometheus on HOST:PORT"),
  "no-delete": bool("Refuse to delete tags, manifests and blobs"),
  proxy: list("Fetch what is below a name from another registry: PREFIX=URL"),
  "read-only": bool("Refuse whatever would change the registry"),
  rights: string("File that says who may pull, push and delete where"),
  s3: string("Keep blobs in a bucket: s3://BUCKET/PREFIX?endpoint=URL"),
  tls: bool("Use TLS, with a certificate made here when none is given"),
  tlscacert: string("Ask clients for a certificate of this CA"),
  tlscert: string("The registry's certificate for TLS"),
  tlskey: string("The registry's key for TLS"),
  tokens: bool("Sign users in with tokens that this registry makes"),
  webhook: list("Tell this address of pushes, pulls and deletes"),
};

/** The flags of one call, and which of them were given. */
export interface RegistryServeCall {
  flags: Values<typeof REGISTRY_SERVE_FLAGS>;
  given: ReadonlySet<string>;
}

/** `registry serve`: a registry of its own in the foreground. What serves is not the command line's to know: `main.ts` hands it over. */
export const registryServe = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: REGISTRY_SERVE_FLAGS,
  async run({ flags, given, app }) {
    const serve = app.programs.registryServe;
    if (serve === undefined) throw new LighterError("internal", "Cannot serve a registry: this program has none");
    const names = Object.keys(REGISTRY_SERVE_FLAGS) as (keyof typeof REGISTRY_SERVE_FLAGS)[];
    return await serve({ flags, given: new Set(names.filter((name) => given(name))) });
  },
});
