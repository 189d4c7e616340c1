import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Fixture, openFixture } from "./fixture.ts";

describe.skipIf(process.getuid?.() !== 0)("a monitor that started early for nothing", () => {
  let fixture: Fixture;
  beforeAll(async () => {
    fixture = await openFixture();
  });
  afterAll(async () => {
    await fixture?.remove();
  });

  test("keeps the failed start from nothing when it cannot be taken away", async () => {
    const { runtime, containers } = fixture;
    const begin = runtime.begin;
    let failed = 0;
    runtime.begin = (spec) => {
      const drop = begin(spec);
      return async () => {
        await drop();
        failed++;
        throw new Error("its directory is busy");
      };
    };
    const body = { Image: "busybox", Cmd: ["/no/such/program"], HostConfig: { NetworkMode: "host" } };
    const { id } = await containers.create(undefined, body, {});
    const start = await containers.start(id).then(
      () => "it started",
      (error: unknown) => String(error),
    );
    expect(start).toContain("/no/such/program");
    expect(failed).toBe(1);
    runtime.begin = begin;
    const { State } = await containers.inspect(id);
    expect(State).toMatchObject({ Status: "created", ExitCode: 127 });
    await containers.remove(id, { force: false, volumes: true, link: false });
  });
});
