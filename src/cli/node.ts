/**
 * Modules of node, loaded when they are first used: Bun takes one to two milliseconds for `node:fs` alone, and most commands
 * have asked the daemon before they need it, or never do. For what every command loads; others import as usual.
 */
export const node = {
  get fs(): typeof import("node:fs") {
    return process.getBuiltinModule("node:fs");
  },
  get os(): typeof import("node:os") {
    return process.getBuiltinModule("node:os");
  },
  get path(): typeof import("node:path") {
    return process.getBuiltinModule("node:path");
  },
};
