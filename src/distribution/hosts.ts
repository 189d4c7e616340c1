import { isIP } from "node:net";
import { DEFAULT_REGISTRY, type Reference } from "../base/reference.ts";
import type { DistributionOptions, RegistryHost } from "./distribution.ts";

/** Where the registry called docker.io really listens. */
export const DOCKER_HUB = "https://registry-1.docker.io";

/** The addresses to ask for a reference, in order: the mirrors of docker.io (never for a push), then the registry itself. */
export function hostsOf(
  reference: Reference,
  options: Pick<DistributionOptions, "insecureRegistries" | "registryMirrors">,
  push: boolean,
): RegistryHost[] {
  if (reference.registry !== DEFAULT_REGISTRY) {
    return [{ url: `https://${reference.registry}`, insecure: isInsecure(reference.registry, options.insecureRegistries) }];
  }
  const mirrors = push ? [] : options.registryMirrors.map((mirror) => mirrorHost(mirror, options.insecureRegistries));
  return [...mirrors, { url: DOCKER_HUB, insecure: false }];
}

function mirrorHost(mirror: string, insecure: readonly string[]): RegistryHost {
  const url = mirror.replace(/\/+$/, "");
  return { url, insecure: url.startsWith("http://") || isInsecure(new URL(url).host, insecure) };
}

/** Whether HTTP, and HTTPS without a check, is allowed: loopback always, others by `insecure-registries` (host, host:port, or a network in CIDR form). */
export function isInsecure(host: string, insecure: readonly string[]): boolean {
  const name = hostnameOf(host);
  if (isLoopback(name)) return true;
  return insecure.some((entry) => entry === host || entry === name || inNetwork(name, entry));
}

/** The name without its port and without brackets. */
export function hostnameOf(host: string): string {
  return host.startsWith("[") ? host.slice(1, host.indexOf("]")) : host.replace(/:\d+$/, "");
}

/** Whether a host name means this machine itself. */
export function isLoopback(name: string): boolean {
  return name === "localhost" || name === "::1" || (isIP(name) === 4 && name.startsWith("127."));
}

function inNetwork(address: string, network: string): boolean {
  const [base = "", bits] = network.split("/");
  if (bits === undefined || isIP(base) !== 4 || isIP(address) !== 4) return false;
  const shift = 32 - Number(bits);
  return shift >= 32 || toNumber(address) >>> shift === toNumber(base) >>> shift;
}

function toNumber(address: string): number {
  return address.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}
