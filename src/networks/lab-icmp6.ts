/** For the root tests: `bun lab-icmp6.ts ADDRESS TYPE ...` sends ICMPv6 messages of these types. */
import { check, libc } from "../linux/libc.ts";
import { addressBytes, parseAddress } from "./addresses.ts";

const AF_INET6 = 10;
const SOCK_RAW = 3;
const ICMP6 = 58;

const [address = "", ...types] = process.argv.slice(2);
const parsed = parseAddress(address);
if (parsed === undefined) throw new Error(`${address} is no address`);
const to = Uint8Array.of(AF_INET6, 0, 0, 0, 0, 0, 0, 0, ...addressBytes(parsed), 0, 0, 0, 0);
const fd = check(libc().socket(AF_INET6, SOCK_RAW, ICMP6), "socket");
for (const type of types) {
  const message = Uint8Array.of(Number(type), 0, 0, 0, ...Buffer.from("what is carried out"));
  libc().sendto(fd, message, message.length, 0, to, to.length);
}
