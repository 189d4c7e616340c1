/** dockerode, unmodified, on a daemon of its own. Deadline: 180 s. */
import { foreignTests } from "./harness/foreign.ts";

foreignTests("dockerode.mjs", { images: ["busybox"], seconds: 120 });
