import { expect, test } from "bun:test";
import { openRoute, links, addresses, findLink } from "./netlink-route.ts";
import { attributes, beNumberOf, be32, nest, numberOf, text, textOf, u32, u8 } from "./netlink.ts";

test("attributes are read as they were written", () => {
  const bytes = Buffer.concat([u8(1, 7), u32(2, 0xdeadbeef), be32(3, 258), text(4, "eth0"), nest(5, text(1, "veth"))]);
  const found = attributes(bytes);
  expect(numberOf(found.get(1))).toBe(7);
  expect(numberOf(found.get(2))).toBe(0xdeadbeef);
  expect(beNumberOf(found.get(3))).toBe(258);
  expect(textOf(found.get(4))).toBe("eth0");
  expect(textOf(attributes(found.get(5) ?? new Uint8Array()).get(1))).toBe("veth");
  expect(attributes(bytes.subarray(0, 4)).size).toBe(0);
});

test("the kernel lists its links and addresses, and says which it does not know", () => {
  const socket = openRoute();
  const loopback = links(socket).find(({ name }) => name === "lo");
  expect(loopback?.index).toBe(1);
  expect(findLink(socket, "lo")).toEqual(loopback);
  expect(findLink(socket, "no-such-link")).toBeUndefined();
  expect(addresses(socket).every(({ bytes, family }) => bytes.length === (family === 4 ? 4 : 16))).toBe(true);
  expect(() => socket.request([{ type: 0xff, flags: 4, body: new Uint8Array(16) }], "ask for nonsense")).toThrow("ask for nonsense");
  socket.close();
});
