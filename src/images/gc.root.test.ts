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

  test("its events carry the labels of the image, and partial uploads to the registry are not its own", async () => {
    await using shop = await workshop();
    const stream = new Blob([layerOf({ a: "1" }).bytes as Uint8Array<ArrayBuffer>]).stream();
    await shop.images.import(stream, { repository: "a", changes: ["LABEL k=v"], progress: shop.progress });
    for (const ref of [`sha256:${"0".repeat(64)}`, "upload:one"]) await (await shop.content.ingest(ref)).suspend();
    await shop.images.gc({ ...CAREFUL, keepRecent: 0, unusedFor: 0, partialsFor: -1e9 }, { dryRun: false });
    const [event] = shop.state.all<{ attributes_json: string }>("SELECT attributes_json FROM events WHERE action = 'untag'");
    expect(JSON.parse(event?.attributes_json ?? "{}")).toMatchObject({ k: "v" });
    expect(shop.state.all("SELECT ref FROM ingests")).toEqual([{ ref: "upload:one" }]);
  });
});
