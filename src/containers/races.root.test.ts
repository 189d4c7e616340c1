import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type ErrorKind, kindOf, messageOf } from "../base/errors.ts";
import { Collected, type Fixture, openFixture } from "./fixture.ts";

const root = process.getuid?.() === 0;

/** What a caller may be told when somebody else was quicker. */
const FAIR: readonly ErrorKind[] = ["conflict", "not-found", "not-modified"];

describe.skipIf(!root)("many callers", () => {
  test("sixteen run --rm at once: every output and code, nothing left", async () => {
    const fixture = await openFixture();
    try {
      const runs = Array.from({ length: 16 }, async (_, index) => {
        const { id } = await fixture.containers.create(
          undefined,
          { Image: "busybox", Cmd: ["sh", "-c", `echo ${index}; exit ${index}`], HostConfig: { NetworkMode: "host", AutoRemove: true } },
          {},
        );
        const sink = new Collected();
        await fixture.containers.attach(id, sink, { logs: false, stream: true, stdin: false, stdout: true, stderr: true });
        const removed = fixture.containers.wait(id, "removed");
        await fixture.containers.start(id);
        const { statusCode } = await removed.result;
        await sink.ended;
        return [sink.text(), statusCode];
      });
      expect(await Promise.all(runs)).toEqual(Array.from({ length: 16 }, (_, index) => [`${index}\n`, index]));
      expect(readdirSync(join(fixture.directory, "data/containers"))).toEqual([]);
    } finally {
      await fixture.remove();
    }
  }, 60_000);

  test("anything at any time on three containers: a fair answer each time, and a true state in the end", async () => {
    const fixture = await openFixture();
    try {
      const names = ["one", "two", "three"];
      let seed = 7;
      const random = (below: number): number => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below;
      const unfair: string[] = [];
      const caller = async (): Promise<void> => {
        for (let step = 0; step < 12; step++) {
          const name = names[random(names.length)] ?? "";
          const act = acts[random(acts.length)];
          await act?.(fixture, name).catch((error: unknown) => {
            if (!FAIR.includes(kindOf(error))) unfair.push(`${kindOf(error)}: ${messageOf(error)}`);
          });
        }
      };
      await Promise.all(Array.from({ length: 6 }, caller));
      expect(unfair).toEqual([]);
      for (const { Id = "", State } of await fixture.containers.list({ all: true, size: false, filters: new Map() })) {
        // What was killed last may end between the two questions.
        await until(`the state of ${Id} is true, not ${State}`, () => isTrue(fixture, Id));
        await fixture.containers.remove(Id, { force: true, volumes: true, link: false });
      }
      expect(readdirSync(join(fixture.directory, "data/containers"))).toEqual([]);
      expect(readdirSync(join(fixture.directory, "run/containers"))).toEqual([]);
    } finally {
      await fixture.remove();
    }
  }, 60_000);
});

/** Whether the list, the container itself and the kernel say the same. */
async function isTrue({ containers }: Fixture, id: string): Promise<boolean> {
  const listed = (await containers.list({ all: true, size: false, filters: new Map() })).find(({ Id }) => Id === id);
  const { State } = await containers.inspect(id);
  return listed?.State === State?.Status && (State?.Running !== true || existsSync(`/proc/${State.Pid}/ns/net`));
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++) {
    if (tries > 1000) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(20);
  }
}

const acts: ((fixture: Fixture, name: string) => Promise<unknown>)[] = [
  create,
  create,
  ({ containers }, name) => containers.start(name),
  ({ containers }, name) => containers.start(name),
  ({ containers }, name) => containers.stop(name, { timeout: 0 }),
  ({ containers }, name) => containers.kill(name, "KILL"),
  ({ containers }, name) => containers.restart(name, { timeout: 0 }),
  ({ containers }, name) => containers.pause(name),
  ({ containers }, name) => containers.unpause(name),
  ({ containers }, name) => containers.remove(name, { force: true, volumes: true, link: false }),
  ({ containers }, name) => containers.inspect(name, { size: true }),
  async ({ containers }, name) => containers.startExec(await containers.createExec(name, { Cmd: ["true"] }), { tty: false }),
  ({ containers }, name) => containers.stat(name, "/etc"),
  ({ containers }, name) => containers.changes(name),
];

function create({ containers }: Fixture, name: string): Promise<unknown> {
  return containers.create(name, { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig: { NetworkMode: "host" } }, {});
}
