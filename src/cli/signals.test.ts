import { expect, test } from "bun:test";
import { proxySignals } from "./signals.ts";

test("the third SIGINT or SIGTERM ends this program, other signals never", () => {
  const said: string[] = [];
  const end = proxySignals(
    async (signal) => void said.push(signal),
    () => said.push("left"),
  );
  // Nobody else is to hear of them.
  const [interrupt, terminate, alarm] = (["SIGINT", "SIGTERM", "SIGVTALRM"] as const).map((signal) => process.listeners(signal).at(-1));
  for (let n = 0; n < 4; n++) alarm?.("SIGVTALRM");
  interrupt?.("SIGINT");
  terminate?.("SIGTERM");
  expect(said).toEqual(["VTALRM", "VTALRM", "VTALRM", "VTALRM", "INT", "TERM"]);
  interrupt?.("SIGINT");
  expect(said.slice(6)).toEqual(["INT", "left"]);
  end();
});
