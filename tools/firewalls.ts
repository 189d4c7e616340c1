import { unpackedPackages } from "./debian.ts";

/** ufw and firewalld with what they need beside Python, D-Bus and nft themselves: unpacked in one folder, nothing is installed. */
export function firewalls(): Promise<string> {
  return unpackedPackages("bookworm", "firewalls", ["ufw", "firewalld", "python3-firewall", "python3-nftables", "python3-cap-ng"]);
}
