/**
 * `bun bench/transfers.ts [--layers N] [--rounds N] [--only TEXT] [--write]`: save, load and push of the image of `bench/pull.ts` (8 layers of Debian's packages,
 * 520 MB unpacked), ours against Debian's dockerd, by turns in one run. Both load the archive that dockerd saved. `--write` puts the table into
 * docs/bench/images.md. Run as root.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Daemon, LIGHTER } from "../tests/harness/daemon.ts";
import { TestRegistry } from "../tests/harness/registry.ts";
import { dockerClient } from "../tools/programs.ts";
import { replaceSection } from "../tools/section.ts";
import { must } from "../tools/shell.ts";
import { freshDisk } from "./fresh-disk.ts";
import { interleaved, timed } from "./measure.ts";
import { startDockerd } from "./peer.ts";
import { benchImage } from "./pull-image.ts";
import { table, type Row } from "./report.ts";

interface Side {
  name: string;
  client: string;
  host: string;
}

const { values: flags } = parseArgs({
  options: {
    layers: { type: "string", default: "8" },
    rounds: { type: "string", default: "2" },
    only: { type: "string", default: "" },
    write: { type: "boolean" },
  },
});
const layout = await benchImage("gzip", Number(flags.layers));
await using disk = await freshDisk(14);
const folder = disk.path;
{
  await using registry = await TestRegistry.start(join(folder, "registry"));
  await registry.push(layout, "bench");
  const image = `${registry.host}/bench:latest`;
  await using ours = new Daemon(join(folder, "lighter"));
  await ours.start();
  await using peer = await startDockerd(join(folder, "dockerd"), { sharesNetwork: true });
  const sides: Side[] = [
    { name: "dockerd", client: await dockerClient("bookworm"), host: peer.host },
    { name: "lighter", client: LIGHTER, host: `unix://${ours.socket}` },
  ];
  const call = async (side: Side, ...args: string[]): Promise<number> => timed([side.client, ...args], { DOCKER_HOST: side.host });
  for (const side of sides) await call(side, "pull", "-q", image);
  const archive = join(folder, "archive.tar");
  if (sides[0] !== undefined) await call(sides[0], "save", "-o", archive, image);
  let pushes = 0;
  const rows: Row[] = [];
  for (const [what, once] of [
    ["save", (side: Side) => saved(call, side, image)],
    ["push to a registry that has nothing of it", (side: Side) => pushed(call, side, image, `push-${++pushes}`)],
    ["load", (side: Side) => loaded(call, side, image, archive)],
  ] as const) {
    if (!what.includes(flags.only)) continue;
    const figures = await interleaved(
      sides.map((side) => ({ name: side.name, once: () => once(side) })),
      Number(flags.rounds),
      { warm: false },
    );
    rows.push({ what, figures });
  }
  console.log(table(rows));
  if (flags.write) await replaceSection("docs/bench/images.md", "transfers", table(rows));
}

type Call = (side: Side, ...args: string[]) => Promise<number>;

async function saved(call: Call, side: Side, image: string): Promise<number> {
  await must(["sync", "-f", folder]);
  const file = join(folder, "saved.tar");
  const elapsed = await call(side, "save", "-o", file, image);
  await rm(file);
  return elapsed;
}

/** The engine has nothing of the image; both ends are cleared outside of the clock. */
async function loaded(call: Call, side: Side, image: string, archive: string): Promise<number> {
  await call(side, "rmi", "-f", image);
  await must(["sync", "-f", folder]);
  return await call(side, "load", "-q", "-i", archive);
}

async function pushed(call: Call, side: Side, image: string, name: string): Promise<number> {
  await using registry = await TestRegistry.start(join(folder, name));
  const reference = `${registry.host}/pushed:latest`;
  await call(side, "tag", image, reference);
  await must(["sync", "-f", folder]);
  const elapsed = await call(side, "push", "-q", reference);
  await call(side, "rmi", reference);
  await rm(join(folder, name, "data"), { recursive: true });
  return elapsed;
}
