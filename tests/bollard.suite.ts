/** bollard, unmodified, on a daemon of its own; a skip where no cargo could build it. Deadline: 120 s. */
import { test } from "bun:test";
import { rustProgram } from "../tools/foreign.ts";
import { foreignTests } from "./harness/foreign.ts";

if ((await rustProgram()) === undefined) test.skip("bollard's program: there is no cargo that can build it", () => undefined);
else foreignTests("bollard.rs", { images: ["busybox"], seconds: 60 });
