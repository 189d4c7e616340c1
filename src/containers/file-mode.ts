/** Type bits of stat(2)'s `st_mode`, and Go's os.FileMode bits for the same: https://pkg.go.dev/io/fs#FileMode */
const TYPES: readonly [number, number][] = [
  [0o040000, 2 ** 31],
  [0o120000, 2 ** 27],
  [0o060000, 2 ** 26],
  [0o020000, 2 ** 26 + 2 ** 21],
  [0o010000, 2 ** 25],
  [0o140000, 2 ** 24],
];

/** Go's FileMode of a `st_mode`, as `docker cp` expects it. */
export function goFileMode(mode: number): number {
  const type = TYPES.find(([bits]) => (mode & 0o170000) === bits)?.[1] ?? 0;
  const special = (mode & 0o4000 ? 2 ** 23 : 0) + (mode & 0o2000 ? 2 ** 22 : 0) + (mode & 0o1000 ? 2 ** 20 : 0);
  return type + special + (mode & 0o777);
}
