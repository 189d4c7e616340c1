import { describe, expect, test } from "bun:test";
import { parseFilters } from "../wire/filters.ts";
import { CAREFUL } from "./gc-policy.ts";
import { addPin } from "./pins.ts";
import { layerOf, workshop } from "./workshop.suite.ts";

describe.skipIf(process.getuid?.() !== 0)("gc", () => {
  test("an image that is pinned after it was judged stays", async () => {
    await using shop = await workshop();
    for (const repository of ["a", "b"]) {
      const stream = new Blob([layerOf({ [repository]: "1" }).bytes as Uint8Array<ArrayBuffer>]).stream();
      await shop.images.import(stream, { repository, changes: [], progress: shop.progress });
    }
    // What is freed is asked for between the judgement and the removal.
    const { freed } = shop.content;
    shop.content.freed = (images) => {
      addPin(shop.state, "b");
      return freed.call(shop.content, images);
    };
    const report = await shop.images.gc({ ...CAREFUL, keepRecent: 0, unusedFor: 0 }, { dryRun: false });
    expect(report.items.map(({ names }) => names)).toEqual([["a:latest"]]);
    const tags = (await shop.images.list({ filters: parseFilters(undefined) })).flatMap(({ RepoTags }) => RepoTags);
    expect(tags).toEqual(["b:latest"]);
  });
});
