import { expect, test } from "bun:test";
import { join } from "node:path";
import { kindOf } from "../base/errors.ts";
import { hostileRegistry } from "../distribution/hostile.suite.ts";
import { parseFilters } from "../wire/filters.ts";
import { layerOf, randomLayer, workshop } from "./workshop.suite.ts";

const SECONDS = 3;

test.skipIf(process.getuid?.() !== 0)(
  "eight clients pull (over broken connections, some giving up), remove, prune, save, load and look at the same images: none is ever half there",
  async () => {
    await using registry = await hostileRegistry({ drop: () => (Math.random() < 0.2 ? Math.floor(Math.random() * 200_000) : undefined) });
    await using shop = await workshop();
    const shared = [randomLayer("base", 100_000), randomLayer("middle", 200_000)];
    const names = ["one", "two", "three", "four"].map((name, index) => {
      registry.addImage(name, "1", [...shared.slice(0, 1 + (index % 2)), layerOf({ [name]: name.repeat(1000) })]);
      return { name, reference: `${registry.host}/${name}:1` };
    });
    const archives = new Map<string, Uint8Array<ArrayBuffer>>();
    const unexpected: unknown[] = [];
    const all = parseFilters('{"dangling":["false"]}');
    const end = performance.now() + SECONDS * 1000;

    async function act(reference: string, choice: number): Promise<void> {
      const archive = archives.get(reference);
      if (choice < 0.45) {
        const abort = new AbortController();
        if (Math.random() < 0.3) setTimeout(() => abort.abort(), Math.random() * 60);
        await shop.images.pull(reference, { progress: () => undefined, signal: abort.signal });
      } else if (choice < 0.7) await shop.images.remove(reference, { force: true, noPrune: false });
      else if (choice < 0.75) await shop.images.prune(all);
      else if (choice < 0.85) await shop.images.runnable(reference);
      else if (choice < 0.93)
        archives.set(reference, new Uint8Array(await new Response(await shop.images.save([reference])).arrayBuffer()));
      else if (archive !== undefined) await shop.images.load(new Blob([archive]).stream(), { progress: () => undefined });
    }

    async function client(): Promise<void> {
      while (performance.now() < end) {
        const { reference } = names[Math.floor(Math.random() * names.length)] ?? { reference: "" };
        await act(reference, Math.random()).catch((error: unknown) => {
          if (kindOf(error) !== "cancelled" && !/No such image|removed in the meantime/.test(String(error))) unexpected.push(error);
        });
      }
    }
    await Promise.all(Array.from({ length: 8 }, client));
    expect(unexpected).toEqual([]);

    registry.faults = {};
    for (const { name, reference } of names) {
      await shop.images.pull(reference, { progress: () => undefined });
      const { layers } = await shop.images.runnable(reference);
      expect(await Bun.file(join(layers[0] ?? "", name)).text()).toBe(name.repeat(1000));
      expect((await Bun.file(join(layers.at(-1) ?? "", "base")).bytes()).length).toBe(100_000);
    }
    await shop.images.prune(all);
    await shop.content.sweepPartials(-1000);
    expect(shop.state.all("SELECT * FROM leases")).toEqual([]);
    expect(shop.content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
  },
  60_000,
);
