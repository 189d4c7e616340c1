import { LighterError } from "../base/errors.ts";

const FLAGS = new Set(
  "defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime noatime diratime nodiratime bind rbind unbindable runbindable private rprivate shared rshared slave rslave relatime norelatime strictatime nostrictatime".split(
    " ",
  ),
);
const SETTINGS = new Set(["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"]);

/** Refuses what tmpfs does not know, before the kernel would with one word for everything: tmpfs(5). Throws `invalid` with Docker's text. */
export function checkTmpfsOptions(options: string): void {
  for (const option of options === "" ? [] : options.split(",")) {
    if (FLAGS.has(option)) continue;
    const [key = "", ...value] = option.split("=");
    if (value.length === 0) throw new LighterError("invalid", `invalid tmpfs option [${JSON.stringify(option)}]`);
    if (!SETTINGS.has(key))
      throw new LighterError("invalid", `invalid tmpfs option [${JSON.stringify(key)} ${JSON.stringify(value.join("="))}]`);
  }
}
