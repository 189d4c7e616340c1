import { expect, test } from "bun:test";
import type { RunMessage } from "../wire/run-messages.ts";
import { encodeFrame, STREAM } from "../wire/stdcopy.ts";
import type { Take } from "./duplex.ts";
import { followRun, type RunEnd } from "./run.ts";
import type { Hijacked } from "./upgrade.ts";

const message = (told: RunMessage): Uint8Array => encodeFrame(STREAM.system, Buffer.from(`${JSON.stringify(told)}\n`));
const created = message({ created: { Id: "ä1", Warnings: ["slow"] } });

/** A stream that hands on pieces of `size` bytes and then ends, or breaks. */
function streamOf(bytes: Uint8Array, size: number, broken?: Error): Hijacked {
  return {
    contentType: "",
    write: () => Promise.resolve(),
    closeWrite: () => undefined,
    close: () => undefined,
    async read(take: Take) {
      for (let at = 0; at < bytes.length; at += size) await take(bytes.subarray(at, at + size));
      if (broken) throw broken;
    },
  };
}

async function followed(stream: Hijacked): Promise<{ end: RunEnd; said: string[]; ids: string[] }> {
  const said: string[] = [];
  const ids: string[] = [];
  const end = await followRun(stream, {
    created: ({ Id, Warnings }) => void ids.push(Id, ...Warnings),
    output: async (pieces) => {
      for (const { to, bytes } of pieces) said.push(`${to}:${Buffer.from(bytes).toString()}`);
    },
  });
  return { end, said, ids };
}

test("output and messages come apart, however they were cut", async () => {
  const out = encodeFrame(STREAM.stdout, Buffer.from("one"));
  const err = encodeFrame(STREAM.stderr, Buffer.from("two"));
  const bytes = Buffer.concat([created, out, err, message({ ended: { StatusCode: 3 } })]);
  for (const size of [1, 7, bytes.length]) {
    const { end, said, ids } = await followed(streamOf(bytes, size));
    expect(end).toEqual({ ended: { StatusCode: 3 } });
    expect(ids).toEqual(["ä1", "slow"]);
    expect(said.map((piece) => piece.slice(piece.indexOf(":") + 1)).join("")).toBe("onetwo");
  }
});

test("a failed start is the error that a start answers", async () => {
  const bytes = Buffer.concat([created, message({ failed: { status: 409, message: "port is taken" } })]);
  const { end } = await followed(streamOf(bytes, 5));
  expect(end).toMatchObject({ failure: { kind: "conflict", message: "Error response from daemon: port is taken" } });
});

test("a stream that ends or breaks too early is an end without a code", async () => {
  expect((await followed(streamOf(created, 64))).end).toEqual({ ended: { StatusCode: -1, Error: { Message: "unexpected EOF" } } });
  const broken = streamOf(created, 64, new Error("reset"));
  expect((await followed(broken)).end).toEqual({ ended: { StatusCode: -1, Error: { Message: "reset" } } });
});

test("output that cannot be taken is told as what it is", async () => {
  const full = new Error("no space left on device");
  const bytes = Buffer.concat([created, encodeFrame(STREAM.stdout, Buffer.from("one")), message({ ended: { StatusCode: 0 } })]);
  const end = await followRun(streamOf(bytes, 64), { created: () => undefined, output: () => Promise.reject(full) });
  expect(end).toEqual({ untaken: full });
});
