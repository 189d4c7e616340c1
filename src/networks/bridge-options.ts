import { LighterError } from "../base/errors.ts";
import { parseAddress } from "./addresses.ts";
import { reachOf } from "./reach.ts";

/** Docker's option names for the bridge driver and the place of a container in a network. */
export const OPTION = {
  defaultBridge: "com.docker.network.bridge.default_bridge",
  icc: "com.docker.network.bridge.enable_icc",
  masquerade: "com.docker.network.bridge.enable_ip_masquerade",
  hostBinding: "com.docker.network.bridge.host_binding_ipv4",
  name: "com.docker.network.bridge.name",
  mtu: "com.docker.network.driver.mtu",
  inhibit4: "com.docker.network.bridge.inhibit_ipv4",
  gatewayMode4: "com.docker.network.bridge.gateway_mode_ipv4",
  gatewayMode6: "com.docker.network.bridge.gateway_mode_ipv6",
  trusted: "com.docker.network.bridge.trusted_host_interfaces",
  prefix: "com.docker.network.container_iface_prefix",
} as const;

const BOOLEANS = [OPTION.icc, OPTION.masquerade, OPTION.inhibit4, OPTION.defaultBridge];
const TRUE = ["1", "t", "T", "TRUE", "true", "True"];
const FALSE = ["0", "f", "F", "FALSE", "false", "False"];
const GATEWAY_MODES = ["nat", "nat-unprotected", "routed", "isolated"];
/** linux/if.h: with its NUL a name has 16 bytes. */
const NAME_BYTES = 15;

/** An option that is true unless it says otherwise, in Go's spellings. */
export function isOn(options: Record<string, string>, name: string): boolean {
  const value = options[name];
  return value === undefined || TRUE.includes(value);
}

/** How the outside and a network's containers meet: `nat`, `nat-unprotected` (every port open to who can route there), `routed` (published ports open at the container's own address, nothing translated), `isolated` (the host itself is not in it). */
export function gatewayMode(options: Record<string, string>, family: 4 | 6): string {
  return options[family === 4 ? OPTION.gatewayMode4 : OPTION.gatewayMode6] || "nat";
}

/** The host's links that may reach containers at their own addresses. */
export function trustedLinks(options: Record<string, string>): string[] {
  return (options[OPTION.trusted] ?? "").split(":").filter((name) => name !== "");
}

/** Whether a text may name a link: at most 15 bytes without space, `/` and `:`, and not a name that means something else. */
export function isLinkName(name: string): boolean {
  return name !== "." && name !== ".." && Buffer.byteLength(name) <= NAME_BYTES && /^[^\s/:]+$/u.test(name);
}

/** Checks the driver's options of a new network. Throws `invalid` that names the option, with Docker's texts where it has one. */
export function checkBridgeOptions(options: Record<string, string>, { internal }: { internal: boolean }): void {
  reachOf(options);
  for (const name of BOOLEANS) {
    const value = options[name];
    if (value !== undefined && !TRUE.includes(value) && !FALSE.includes(value))
      throw unparsable(name, value, `strconv.ParseBool: parsing "${value}": invalid syntax`);
  }
  const { [OPTION.mtu]: mtu, [OPTION.hostBinding]: binding, [OPTION.prefix]: prefix } = options;
  if (mtu !== undefined && !/^[+-]?\d+$/.test(mtu)) throw unparsable(OPTION.mtu, mtu, `strconv.Atoi: parsing "${mtu}": invalid syntax`);
  if (mtu !== undefined && (Number(mtu) < 68 || Number(mtu) > 65535))
    throw new LighterError("invalid", `invalid MTU ${mtu}: a bridge takes 68 to 65535 bytes, and IPv6 needs at least 1280`);
  if (binding !== undefined && parseAddress(binding)?.family !== 4) throw unparsable(OPTION.hostBinding, binding, "nil ip");
  if (prefix !== undefined && (!isLinkName(`${prefix}99`) || /\d$/.test(prefix)))
    throw new LighterError(
      "invalid",
      `invalid ${OPTION.prefix} "${prefix}": at most 13 characters without space, "/" and ":", and no digit at its end`,
    );
  checkGatewayModes(options, internal);
  const stranger = trustedLinks(options).find((name) => !isLinkName(name));
  if (stranger !== undefined) throw new LighterError("invalid", `invalid ${OPTION.trusted}: "${stranger}" is no name of an interface`);
}

function checkGatewayModes(options: Record<string, string>, internal: boolean): void {
  for (const family of [4, 6] as const) {
    const mode = gatewayMode(options, family);
    const name = family === 4 ? OPTION.gatewayMode4 : OPTION.gatewayMode6;
    if (!GATEWAY_MODES.includes(mode))
      throw new LighterError("invalid", `unknown gateway mode ${mode}: ${name} takes ${GATEWAY_MODES.join(", ")}`);
    if (mode === "isolated" && !internal)
      throw new LighterError("invalid", `${name}=isolated can only be used for an internal network: add --internal`);
  }
}

function unparsable(option: string, value: string, why: string): LighterError {
  return new LighterError("invalid", `failed to parse ${option} value: ${value} (${why})`);
}
