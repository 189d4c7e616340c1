const MAX_STORED = 0xffff;

/**
 * A gzip stream that stores its data as it is. No compressor has a say in the bytes, so that digests hold for ever and on every version of
 * zlib. https://www.rfc-editor.org/rfc/rfc1952, blocks: https://www.rfc-editor.org/rfc/rfc1951#section-3.2.4
 */
export function gzipStored(data: Uint8Array): Uint8Array {
  const blocks = Math.max(1, Math.ceil(data.length / MAX_STORED));
  const out = new Uint8Array(10 + blocks * 5 + data.length + 8);
  const view = new DataView(out.buffer);
  out.set([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]); // deflate, no flags, no time, unknown system
  let at = 10;
  for (let block = 0; block < blocks; block++) {
    const piece = data.subarray(block * MAX_STORED, (block + 1) * MAX_STORED);
    out[at] = block === blocks - 1 ? 1 : 0;
    view.setUint16(at + 1, piece.length, true);
    view.setUint16(at + 3, ~piece.length & 0xffff, true);
    out.set(piece, at + 5);
    at += 5 + piece.length;
  }
  view.setUint32(at, Bun.hash.crc32(data), true);
  view.setUint32(at + 4, data.length, true);
  return out;
}
