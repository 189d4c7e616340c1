/**
 * Modules of node, loaded when they are first used: Bun takes more than a millisecond for `node:fs` alone, and most commands never
 * need it. By `require`, as `process.getBuiltinModule` takes twice as long. For what every command loads; others import as usual.
 */
export const node = {
  get fs(): typeof import("node:fs") {
    return require("node:fs") as typeof import("node:fs");
  },
  get os(): typeof import("node:os") {
    return require("node:os") as typeof import("node:os");
  },
  get path(): typeof import("node:path") {
    return require("node:path") as typeof import("node:path");
  },
};
