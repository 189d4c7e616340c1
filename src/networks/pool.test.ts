import { expect, test } from "bun:test";
import { Pool } from "./pool.ts";

function counted(
  size: number,
  make?: () => Promise<number>,
): { pool: Pool<number>; dropped: number[]; failures: unknown[]; made: () => number } {
  let next = 0;
  const dropped: number[] = [];
  const failures: unknown[] = [];
  const pool = new Pool<number>({
    size,
    make: make ?? (async () => next++),
    drop: (item) => void dropped.push(item),
    failed: (error) => void failures.push(error),
    wideFor: 20,
  });
  return { pool, dropped, failures, made: () => next };
}

test("what is ready is given out in order, and made up for", async () => {
  const { pool, made } = counted(3);
  await pool.full();
  expect([pool.take(), pool.take()]).toEqual([0, 1]);
  await pool.full();
  expect(pool.ready).toBe(3);
  expect(made()).toBe(5);
});

test("a pool that ran dry widens", async () => {
  const { pool } = counted(2);
  await pool.full();
  for (const expected of [0, 1, undefined]) expect(pool.take()).toBe(expected);
  await pool.full();
  expect(pool.ready).toBe(4);
});

test("a widened pool is narrow again after a while without running dry", async () => {
  const { pool, dropped } = counted(2);
  await pool.full();
  for (let taken = 0; taken < 3; taken++) pool.take();
  await pool.full();
  while (pool.ready > 2) await Bun.sleep(5);
  expect(pool.ready).toBe(2);
  expect(dropped).toEqual([4, 5]);
});

test("a closed pool drops all it has, also what was under way and what comes back", async () => {
  const { pool, dropped } = counted(2);
  await pool.full();
  const out = pool.take();
  const closing = pool.close();
  if (out !== undefined) pool.giveBack(out);
  await closing;
  expect(dropped.toSorted((a, b) => a - b)).toEqual([0, 1]);
  expect(pool.take()).toBeUndefined();
  await pool.full();
  expect(pool.ready).toBe(0);
});

test("a pool that is closed while it is made anew stays closed", async () => {
  const { pool, made } = counted(2);
  await pool.full();
  const anew = pool.renew();
  await pool.close();
  await anew;
  await pool.full();
  expect([pool.ready, made()]).toEqual([0, 2]);
});

test("a failure is told once, and the next take tries again", async () => {
  let works = false;
  const { pool, failures } = counted(1, () => (works ? Promise.resolve(7) : Promise.reject(new Error("no"))));
  await pool.full();
  expect(failures).toHaveLength(1);
  works = true;
  expect(pool.take()).toBeUndefined();
  await pool.full();
  expect(pool.take()).toBe(7);
});

test("size 0 keeps nothing", async () => {
  const { pool, made } = counted(0);
  expect(pool.take()).toBeUndefined();
  await pool.full();
  expect(made()).toBe(0);
});
