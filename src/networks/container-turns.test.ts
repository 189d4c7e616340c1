import { expect, test } from "bun:test";
import { ContainerTurns } from "./container-turns.ts";

test("work on one container waits for its turn, whatever became of the one before; others do not wait", async () => {
  const turns = new ContainerTurns();
  const told: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = turns.run("one", async () => {
    told.push("first begins");
    await gate.promise;
    told.push("first ends");
    throw new Error("in vain");
  });
  const failed = first.then(
    () => "well",
    (error: unknown) => (error as Error).message,
  );
  const second = turns.run("one", async () => told.push("second"));
  await turns.run("other", async () => told.push("other"));
  expect(told).toEqual(["first begins", "other"]);
  gate.resolve();
  expect(await failed).toBe("in vain");
  await second;
  await turns.run("one", async () => told.push("third"));
  expect(told).toEqual(["first begins", "other", "first ends", "second", "third"]);
});
