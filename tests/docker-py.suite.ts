/** docker-py, unmodified, on a daemon of its own. Deadline: 180 s. */
import { foreignTests } from "./harness/foreign.ts";

foreignTests("docker_py.py", { images: ["busybox"], seconds: 120 });
