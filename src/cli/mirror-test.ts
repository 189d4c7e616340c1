import { formatBytes } from "../base/units.ts";
import { testMirrors, type MeasuredMirror } from "../client/mirrors.ts";
import { command, MANY } from "./command.ts";
import { registryAuth } from "./credentials.ts";
import { string } from "./flags.ts";
import { renderListing, type Listing } from "./format.ts";
import { mirrorArguments } from "./mirror-arguments.ts";

/** `mirror test`: measures the addresses of a registry and further ones, from where the daemon is, and says which to use. */
export const mirrorTest = command({
  usage: "[OPTIONS] [REGISTRY] [URL...]",
  args: [0, MANY],
  flags: {
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    image: string("Image to measure with (busybox for docker.io; without one, other registries are asked for their latency alone)"),
  },
  async run({ flags, args, app }) {
    const { registry, urls } = mirrorArguments(args);
    const what = { Registry: registry, URLs: urls, ...(flags.image !== "" && { Image: flags.image }) };
    const rows = await testMirrors(await app.connection(), what, await registryAuth(app, registry));
    app.out(await renderListing(listing(rows), rows, flags.format, false));
    if (flags.format === "" || flags.format === "table") app.out(`\n${recommendation(registry, rows)}\n`);
    return rows.some(({ Failure }) => Failure === undefined) ? 0 : 1;
  },
});

function listing(rows: readonly MeasuredMirror[]): Listing<MeasuredMirror> {
  const origin = rows.find(({ Source }) => Source === "");
  return {
    shown: ["URL", "Source", "Latency", "Throughput", "Result"],
    quiet: "URL",
    type: "measuredMirrorContext",
    columns: {
      URL: { heading: "URL", of: ({ URL }) => URL },
      Source: { heading: "SOURCE", of: ({ Source }) => (Source === "" ? "(the registry itself)" : Source), json: ({ Source }) => Source },
      Latency: { heading: "LATENCY", of: ({ LatencyMs }) => (LatencyMs === undefined ? "" : `${LatencyMs.toFixed(1)}ms`) },
      Throughput: { heading: "THROUGHPUT", of: ({ BytesPerSecond }) => (BytesPerSecond ? `${formatBytes(BytesPerSecond)}/s` : "") },
      Result: { heading: "RESULT", of: (row) => resultOf(row, origin) },
    },
  };
}

function resultOf({ Failure, Digest }: MeasuredMirror, origin: MeasuredMirror | undefined): string {
  if (Failure !== undefined) return Failure;
  return Digest !== undefined && origin?.Digest !== undefined && Digest !== origin.Digest ? "ok, but the tag is another image there" : "ok";
}

/** A mirror is worth its place when it is clearly faster than the registry itself. */
const WORTH = 1.1;

/** Which addresses to use, the fastest first, in a sentence. */
export function recommendation(registry: string, rows: readonly MeasuredMirror[]): string {
  const speed = (row: MeasuredMirror): number => row.BytesPerSecond ?? 1 / (row.LatencyMs ?? Number.POSITIVE_INFINITY);
  const origin = rows.find(({ Source }) => Source === "");
  const good = rows.filter((row) => row.Failure === undefined);
  const least = origin === undefined || origin.Failure !== undefined ? 0 : speed(origin) * WORTH;
  const mirrors = good.filter((row) => row !== origin && speed(row) > least).toSorted((one, other) => speed(other) - speed(one));
  if (good.length === 0) return `Nothing of ${registry} can be reached: neither the registry nor a mirror.`;
  if (mirrors.length === 0) return `Recommended: no mirror, ${registry} itself is as fast as any.`;
  const lines = [`Recommended for ${registry}, in this order: ${mirrors.map(({ URL }) => URL).join(", ")}.`];
  for (const { URL } of mirrors.filter(({ Source }) => Source === "candidate")) lines.push(`  lighter mirror add ${registry} ${URL}`);
  return lines.join("\n");
}
