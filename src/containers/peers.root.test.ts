import { expect, test } from "bun:test";
import { openFixture } from "./fixture.ts";

test.skipIf(process.getuid?.() !== 0)(
  "a namespace of what is not the container's process any more is not joined",
  async () => {
    const { containers, state, ...fixture } = await openFixture();
    try {
      const start = async (name: string, host: object): Promise<void> => {
        await containers.create(name, { Image: "busybox", Cmd: ["sleep", "100"], HostConfig: { NetworkMode: "host", ...host } }, {});
        await containers.start(name);
      };
      await start("peer", {});
      await start("joins", { PidMode: "container:peer" });
      // As if the peer had ended and its pid was another's by now.
      const change = "UPDATE containers SET task_json = json_set(task_json, '$.task.init.startTime', 1) WHERE name = 'peer'";
      state.write((tx) => tx.run(change), { durable: false });
      const told = await start("late", { PidMode: "container:peer" }).catch((error: Error) => error.message);
      expect(told).toStartWith("cannot join namespaces of a non running container");
      expect((await containers.inspect("late")).State?.Pid).toBe(0);
    } finally {
      await fixture.remove();
    }
  },
  60_000,
);
