import { expect, test } from "bun:test";
import { drawBar, LayerProgress } from "./layer-progress.ts";
import type { ProgressMessage } from "./progress.ts";

test("the bar is fifty columns wide and names both sizes", () => {
  expect(drawBar(0, 1000)).toBe(`[>${" ".repeat(50)}]       0B/1kB`);
  expect(drawBar(500, 1000)).toBe(`[${"=".repeat(25)}>${" ".repeat(25)}]     500B/1kB`);
  expect(drawBar(1000, 1000)).toBe(`[${"=".repeat(50)}>]      1kB/1kB`);
  expect(drawBar(2000, 1000)).toBe("     2kB");
  expect(drawBar(5, 0)).toBe("      5B");
});

test("many steps make few messages, the first and the last among them", () => {
  const messages: ProgressMessage[] = [];
  const progress = new LayerProgress("abc", (message) => void messages.push(message));
  for (let done = 0; done <= 1000; done++) progress.bytes("Downloading", done, 1000);
  progress.state("Download complete");
  expect(messages.map((message) => message.progressDetail?.current)).toEqual([0, 1000, undefined]);
  expect(messages[2]).toEqual({ status: "Download complete", progressDetail: {}, id: "abc" });
});
