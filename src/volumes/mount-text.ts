/** Options of mount(8) that are flags of mount(2), by their bits. */
const FLAGS: Readonly<Record<string, number>> = {
  ro: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  sync: 0x10,
  mand: 0x40,
  dirsync: 0x80,
  noatime: 0x400,
  nodiratime: 0x800,
  bind: 0x1000,
  rbind: 0x5000,
  relatime: 0x200000,
  strictatime: 0x1000000,
};

/** A mount that failed as Docker tells it: `mount a:b, flags: 0x1000, data: size=1m`. */
export function mountText(device: string, path: string, options: string): string {
  const words = options === "" ? [] : options.split(",");
  const flags = words.reduce((bits, word) => bits | (FLAGS[word] ?? 0), 0);
  const data = words.filter((word) => !(word in FLAGS) && word !== "rw" && word !== "defaults").join(",");
  return `mount ${device}:${path}${flags === 0 ? "" : `, flags: 0x${flags.toString(16)}`}${data === "" ? "" : `, data: ${data}`}`;
}
