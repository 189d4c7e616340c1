/** Asks every `every` milliseconds until `condition` holds; a throw counts as no. After `timeout` milliseconds it throws, naming what it waited for. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  { timeout = 10_000, every = 20 }: { timeout?: number; every?: number } = {},
): Promise<void> {
  const end = performance.now() + timeout;
  let last: unknown;
  for (;;) {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`Waited ${timeout} ms in vain until ${what}`, { cause: last });
    await Bun.sleep(every);
  }
}
