import { expect, test } from "bun:test";
import { LighterError } from "./errors.ts";
import { familiarReference, formatReference, parseReference } from "./reference.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;

test.each([
  ["ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"],
  ["ubuntu:24.04", "docker.io/library/ubuntu:24.04", "ubuntu:24.04"],
  ["me/app", "docker.io/me/app:latest", "me/app:latest"],
  ["docker.io/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"],
  ["index.docker.io/library/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"],
  ["localhost/app", "localhost/app:latest", "localhost/app:latest"],
  ["127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000/a/b/c:v1"],
  ["[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"],
  [`ubuntu@${DIGEST}`, `docker.io/library/ubuntu@${DIGEST}`, `ubuntu@${DIGEST}`],
  [`ubuntu:24.04@${DIGEST}`, `docker.io/library/ubuntu:24.04@${DIGEST}`, `ubuntu:24.04@${DIGEST}`],
])("%s is stored as %s and shown as %s", (text, stored, shown) => {
  const reference = parseReference(text);
  expect(formatReference(reference)).toBe(stored);
  expect(familiarReference(reference)).toBe(shown);
});

test.each([
  ["", "invalid reference format"],
  ["a b", "invalid reference format"],
  ["ubuntu:", "invalid reference format"],
  ["-app", "invalid reference format"],
  ["a//b", "invalid reference format"],
  ["Ubuntu", "invalid reference format: repository name (library/Ubuntu) must be lowercase"],
  ["ubuntu@sha256:12", "invalid reference format"],
  ["ab".repeat(32), "invalid reference format: cannot specify 64-byte hexadecimal strings"],
])("%j is refused with Docker's text", (text, message) => {
  expect(() => parseReference(text)).toThrow(new LighterError("invalid", message));
});
