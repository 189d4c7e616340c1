import { expect, test } from "bun:test";
import type { Desired, PlannedMount } from "./desired.ts";
import { withVolume } from "./follow-volume.ts";

function mountOf(type: PlannedMount["type"], source: string): PlannedMount {
  return { type, source, destination: `/${type}`, rw: true, mode: "", propagation: "", fromBind: false };
}

test("a volume's new name stands in every place where the old one did, and nowhere else", () => {
  const desired = {
    mounts: [mountOf("volume", "old"), mountOf("volume", "older"), mountOf("image", "old"), mountOf("bind", "/old")],
    hostConfig: {
      Binds: ["old:/volume:ro", "older:/x", "/old:/bind"],
      Mounts: [
        { Type: "volume", Source: "old", Target: "/y" },
        { Type: "image", Source: "old", Target: "/image" },
      ],
    },
  } as unknown as Desired;
  const { mounts, hostConfig } = withVolume(desired, "old", "new");
  expect(mounts.map(({ source }) => source)).toEqual(["new", "older", "old", "/old"]);
  expect(hostConfig.Binds).toEqual(["new:/volume:ro", "older:/x", "/old:/bind"]);
  expect(hostConfig.Mounts?.map(({ Source }) => Source)).toEqual(["new", "old"]);
  expect(desired.mounts[0]?.source).toBe("old");
  expect(withVolume({ ...desired, hostConfig: {} }, "old", "new").hostConfig).toEqual({});
});
