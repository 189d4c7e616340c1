import { expect, test } from "bun:test";
import { containerSegment } from "./containers.ts";

test("a name as inspect shows it is the name, and nothing else leaves its part of the path", () => {
  expect(containerSegment("web")).toBe("web");
  expect(containerSegment("/web")).toBe("web");
  expect(containerSegment("a/../b?c")).toBe("a%2F..%2Fb%3Fc");
});
