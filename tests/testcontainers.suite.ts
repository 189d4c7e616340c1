/** testcontainers, unmodified, on a daemon of its own: with a PostgreSQL of Debian's packages and a clean-up container of ours. Deadline: 240 s. */
import { foreignTests } from "./harness/foreign.ts";

/** The tag that testcontainers 12.2.0 asks for. */
const RYUK = "testcontainers/ryuk:0.14.0";

foreignTests("testcontainers.mjs", { images: ["busybox", "postgres", "ryuk"], seconds: 150, tags: { ryuk: RYUK } });
