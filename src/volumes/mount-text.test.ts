import { expect, test } from "bun:test";
import { mountText } from "./mount-text.ts";

test("flags by their bits, the rest as it was given", () => {
  expect(mountText("/a", "/b", "")).toBe("mount /a:/b");
  expect(mountText("/a", "/b", "bind")).toBe("mount /a:/b, flags: 0x1000");
  expect(mountText("/a", "/b", "rbind,ro")).toBe("mount /a:/b, flags: 0x5001");
  expect(mountText(":/x", "/b", "rw,addr=10.0.0.1,soft")).toBe("mount :/x:/b, data: addr=10.0.0.1,soft");
  expect(mountText("tmpfs", "/b", "nodev,size=1m")).toBe("mount tmpfs:/b, flags: 0x4, data: size=1m");
});
