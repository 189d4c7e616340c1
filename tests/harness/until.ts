/** How much slower than usual this machine is, said by who knows: an emulated one. Deadlines stretch by it. */
export const SLOW = Number(process.env["LIGHTER_TEST_SLOW"] ?? 1);

/** Asks every `every` milliseconds until `condition` holds; a throw counts as no. After `timeout` milliseconds it throws, naming what it waited for. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  { timeout = 20_000, every = 20 }: { timeout?: number; every?: number } = {},
): Promise<void> {
  const end = performance.now() + timeout * SLOW;
  let last: unknown;
  for (;;) {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`Waited ${timeout * SLOW} ms in vain until ${what}`, { cause: last });
    await Bun.sleep(every);
  }
}
