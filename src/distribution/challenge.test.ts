import { expect, test } from "bun:test";
import { parseChallenges } from "./challenge.ts";

test("a bearer challenge with quoted parameters", () => {
  expect(parseChallenges('Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push"')).toEqual([
    { scheme: "bearer", parameters: { realm: "https://auth.example/token", service: "r.example", scope: "repository:a/b:pull,push" } },
  ]);
});

test("several challenges in one header, plain values and escapes", () => {
  expect(parseChallenges('Basic realm="a \\"b\\"", Bearer realm=x, error=invalid_token')).toEqual([
    { scheme: "basic", parameters: { realm: 'a "b"' } },
    { scheme: "bearer", parameters: { realm: "x", error: "invalid_token" } },
  ]);
});

test("nothing and nonsense", () => {
  expect(parseChallenges(null)).toEqual([]);
  expect(parseChallenges("=,=")).toEqual([]);
});
