import { LighterError } from "./errors.ts";

/** The registry that a name without one means. */
export const DEFAULT_REGISTRY = "docker.io";

/**
 * An image name, taken apart and normalised: `ubuntu` is `docker.io/library/ubuntu:latest`.
 * Grammar: https://github.com/distribution/reference
 */
export interface Reference {
  /** Host and port of the registry, `docker.io` for Docker Hub. */
  registry: string;
  /** The repository inside the registry, `library/ubuntu`. */
  repository: string;
  /** The tag; undefined only where a digest is given without one. */
  tag?: string;
  /** `sha256:...`, where the name carries one. */
  digest?: string;
}

const HOST =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/;
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;

/** Docker's text for a name that does not fit the grammar; clients match on it. */
export const INVALID_REFERENCE = "invalid reference format";

/**
 * Parses and normalises an image name; without tag and digest it means `latest`.
 * Throws `invalid` with Docker's text.
 */
export function parseReference(text: string): Reference {
  let rest = text;
  const reference: Reference = { registry: DEFAULT_REGISTRY, repository: "" };
  const at = rest.indexOf("@");
  if (at >= 0) {
    reference.digest = rest.slice(at + 1);
    rest = rest.slice(0, at);
    if (!DIGEST.test(reference.digest)) throw invalidReference(text);
    if (reference.digest.startsWith("sha256:") && !/^sha256:[0-9a-f]{64}$/.test(reference.digest))
      throw new LighterError("invalid", "invalid checksum digest length");
  }
  const colon = rest.lastIndexOf(":");
  if (colon > rest.lastIndexOf("/")) {
    reference.tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!TAG.test(reference.tag)) throw invalidReference(text);
  }
  const slash = rest.indexOf("/");
  const head = slash < 0 ? "" : rest.slice(0, slash);
  if (head !== "" && (/[.:]/.test(head) || head === "localhost" || head !== head.toLowerCase())) {
    if (!HOST.test(head)) throw invalidReference(text);
    reference.registry = head === "index.docker.io" ? DEFAULT_REGISTRY : head;
    rest = rest.slice(slash + 1);
  }
  if (/^[0-9a-f]{64}$/.test(rest)) throw new LighterError("invalid", `${INVALID_REFERENCE}: cannot specify 64-byte hexadecimal strings`);
  if (rest !== rest.toLowerCase() && PATH.test(rest.toLowerCase())) {
    throw new LighterError(
      "invalid",
      `${INVALID_REFERENCE}: repository name (${reference.registry === DEFAULT_REGISTRY ? "library/" : ""}${rest}) must be lowercase`,
    );
  }
  if (!PATH.test(rest) || rest.length > 255) throw invalidReference(text);
  const official = reference.registry === DEFAULT_REGISTRY && !rest.includes("/");
  reference.repository = official ? `library/${rest}` : rest;
  if (reference.tag === undefined && reference.digest === undefined) reference.tag = "latest";
  return reference;
}

/** `docker.io/library/ubuntu:latest`: the one spelling under which a reference is stored. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

/** `ubuntu:latest`: what people typed and what Docker shows, without the registry and `library/` of Docker Hub. */
export function familiarReference(reference: Reference): string {
  return `${familiarName(reference)}${reference.tag === undefined ? "" : `:${reference.tag}`}${reference.digest === undefined ? "" : `@${reference.digest}`}`;
}

/** `ubuntu`, `user/app` or `host:5000/app`: the familiar form without tag and digest. */
export function familiarName(reference: Reference): string {
  if (reference.registry !== DEFAULT_REGISTRY) return `${reference.registry}/${reference.repository}`;
  return reference.repository.replace(/^library\/(?=[^/]+$)/, "");
}

function invalidReference(_text: string): LighterError {
  return new LighterError("invalid", INVALID_REFERENCE);
}
