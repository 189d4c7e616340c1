import { expect, test } from "bun:test";
import { Kernel } from "./kernel.ts";

const RealWorker = globalThis.Worker;

test("the network thread dies: what it was asked fails with a sentence, another one takes its place", async () => {
  const started: Worker[] = [];
  globalThis.Worker = class extends RealWorker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      started.push(this);
    }
  };
  try {
    using kernel = new Kernel();
    expect((await kernel.do("survey", undefined)).links.length).toBeGreaterThan(0);
    const [first] = started;
    // A message that it does not understand ends it for real; what was asked behind it is lost.
    first?.postMessage(null);
    const lost = await kernel.do("survey", undefined).catch((error: unknown) => error);
    expect(lost).toMatchObject({
      kind: "internal",
      message: expect.stringContaining("Cannot change the network: The network thread died while it was at work: TypeError"),
    });
    expect((await kernel.do("survey", undefined)).links.length).toBeGreaterThan(0);
    expect(started.length).toBe(2);
  } finally {
    globalThis.Worker = RealWorker;
  }
});
