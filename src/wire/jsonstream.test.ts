import { expect, test } from "bun:test";
import { decodeMessages, encodeMessage, errorMessage, type ProgressMessage } from "./jsonstream.ts";

async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function decode(text: string, size: number): Promise<ProgressMessage[]> {
  const found: ProgressMessage[] = [];
  for await (const message of decodeMessages(pieces(text, size))) found.push(message);
  return found;
}

test("messages survive any cut, with and without line ends between them", async () => {
  const messages: ProgressMessage[] = [
    { status: "Größe {" },
    { id: "a", progressDetail: { current: 1, total: 2 } },
    errorMessage('no "x"'),
  ];
  const crlf = messages.map(encodeMessage).join("");
  const glued = messages.map((message) => JSON.stringify(message)).join("");
  for (let size = 1; size <= 12; size++) {
    expect(await decode(crlf, size)).toEqual(messages);
    expect(await decode(glued, size)).toEqual(messages);
  }
});

test("a message that was cut off is an error", async () => {
  await expect(decode('{"status":"a"}\n{"sta', 64)).rejects.toThrow(SyntaxError);
});
