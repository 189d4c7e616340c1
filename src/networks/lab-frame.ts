/** For the root tests: `bun lab-frame.ts LINK FROM TO PORT` sends a UDP packet over IPv4 by a link, in frames to groups that no bridge passes on. */
import { readFileSync } from "node:fs";
import { check, libc } from "../linux/libc.ts";
import { addressBytes, parseAddress } from "./addresses.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const HEADER = 20;

const [link = "", from = "", to = "", port = ""] = process.argv.slice(2);
const index = Number(new RegExp(`^(\\d+)\\s+${link} `, "m").exec(readFileSync("/proc/net/igmp", "utf8"))?.[1]);
const packet = Buffer.alloc(HEADER + 8 + 4);
packet.set([0x45, 0, 0, packet.length, 0, 1, 0, 0, 64, 17]);
packet.set([...bytesOf(from), ...bytesOf(to)], 12);
packet.writeUInt16BE(checksum(packet.subarray(0, HEADER)), 10);
packet.writeUInt16BE(5555, HEADER);
packet.writeUInt16BE(Number(port), HEADER + 2);
packet.writeUInt16BE(packet.length - HEADER, HEADER + 4);
const fd = check(libc().socket(AF_PACKET, SOCK_RAW, 0), "socket");
const place = Buffer.alloc(20);
place.writeUInt16LE(AF_PACKET, 0);
place.writeUInt32LE(index, 4);
for (const last of [0x00, 0x03, 0x0e]) {
  const frame = Buffer.concat([Uint8Array.of(1, 0x80, 0xc2, 0, 0, last, 2, 0, 0, 0, 0, 9, 8, 0), packet]);
  check(Number(libc().sendto(fd, frame, frame.length, 0, place, place.length)), "sendto");
}

function bytesOf(text: string): Uint8Array {
  return addressBytes(parseAddress(text) ?? { family: 4, value: 0n });
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
