import { newId } from "../base/ids.ts";
import { LighterError } from "../base/errors.ts";
import type { Digest } from "../oci/image.ts";
import type { ContentOptions, Lease } from "./content.ts";
import { deleteLease, insertLease, insertLeaseItem } from "./rows.ts";

/** A lease as rows: what it names is a root of the content graph until `release`. */
export class RowLease implements Lease {
  readonly id = newId();
  readonly #state: ContentOptions["state"];
  #released = false;

  constructor(state: ContentOptions["state"], purpose: string, boot: string) {
    this.#state = state;
    state.write((tx) => insertLease(tx, { id: this.id, purpose, boot }), { durable: false });
  }

  addBlob(digest: Digest): void {
    this.#add("blob", digest);
  }

  addLayer(chainId: Digest): void {
    this.#add("layer", chainId);
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#state.write((tx) => deleteLease(tx, this.id), { durable: false });
  }

  [Symbol.dispose](): void {
    this.release();
  }

  #add(kind: "blob" | "layer", key: Digest): void {
    if (this.#released) throw new LighterError("internal", `Cannot keep ${key}: its lease was released`);
    this.#state.write((tx) => insertLeaseItem(tx, this.id, kind, key), { durable: false });
  }
}
