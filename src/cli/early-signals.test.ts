import { expect, test } from "bun:test";
import { proxyEarlySignals } from "./early-signals.ts";

/** A proxy, and what came of the signals. */
function proxied() {
  const made = Promise.withResolvers<string>();
  const said: string[] = [];
  const obeyed = Promise.withResolvers<string>();
  const { end } = proxyEarlySignals(
    made.promise,
    async (id, signal) => void said.push(`${signal} to ${id}`),
    (signal) => {
      said.push(`obeyed ${signal}`);
      obeyed.resolve(signal);
    },
  );
  return { made: made.resolve, said, obeyed: obeyed.promise, end };
}

test("a signal waits for the container that is made, and those that follow reach it, too", async () => {
  const { made, said, end } = proxied();
  process.emit("SIGVTALRM", "SIGVTALRM");
  expect(said).toEqual([]);
  made("c1");
  await Bun.sleep(0);
  process.emit("SIGXFSZ", "SIGXFSZ");
  await Bun.sleep(0);
  end();
  process.emit("SIGVTALRM", "SIGVTALRM");
  await Bun.sleep(0);
  expect(said).toEqual(["VTALRM to c1", "XFSZ to c1"]);
});

test("the first signal is obeyed where no container comes", async () => {
  const { said, obeyed } = proxied();
  process.emit("SIGPROF", "SIGPROF");
  process.emit("SIGXFSZ", "SIGXFSZ");
  expect(await obeyed).toBe("PROF");
  expect(said).toEqual(["obeyed PROF"]);
});

test("an end without a container obeys a signal that came, and none otherwise", () => {
  const signalled = proxied();
  process.emit("SIGVTALRM", "SIGVTALRM");
  signalled.end();
  expect(signalled.said).toEqual(["obeyed VTALRM"]);
  const quiet = proxied();
  quiet.end();
  expect(quiet.said).toEqual([]);
});
