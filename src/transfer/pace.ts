const MiB = 1024 * 1024;

/** A part on its way for so long makes what each costs besides (two requests, a row) matter little. */
const worthwhileMs = 500;
/** How much the newest part counts: a change shows after some ten parts, a single slow one hardly. */
const weight = 0.2;

/** How fast parts have been moving lately, each from its first byte to the store's answer. */
export class Pace {
  #bytesPerMs: number | undefined;

  /** Takes a part into account: its bytes, and how long it was on its way, in ms. */
  note(bytes: number, ms: number): void {
    const rate = bytes / Math.max(ms, 1);
    this.#bytesPerMs =
      this.#bytesPerMs === undefined ? rate : this.#bytesPerMs * (1 - weight) + rate * weight;
  }

  /** Bytes that a part moves in a time that makes it worthwhile; undefined as long as nothing was noted. */
  get worthwhile(): number | undefined {
    return this.#bytesPerMs === undefined ? undefined : this.#bytesPerMs * worthwhileMs;
  }
}

/**
 * Size in bytes of the parts of a file: more than `usual` where parts move so fast that their requests weigh, but never
 * so much that fewer than two rounds of parallel parts are left of it, and never beyond `most`.
 *
 * @param worthwhile what the pace says, if anything is known
 * @param length bytes of the whole file
 */
export function partSizeAtPace(
  usual: number,
  worthwhile: number | undefined,
  length: number,
  { parallel, most }: { readonly parallel: number; readonly most: number },
): number {
  const wanted = Math.min(worthwhile ?? 0, length / (2 * parallel), most);
  // Few sizes, so that buffers of one file fit the next.
  return Math.max(usual, MiB * 2 ** Math.floor(Math.log2(Math.max(wanted, 1) / MiB)));
}
