/** Rates are taken over the last so many ms: long enough to be steady, short enough to be true. */
const spanMs = 15_000;
/** A file of which nothing was heard for this long is forgotten. */
const staleMs = 120_000;
/** More files than are transferred at once, so that forgetting is worth a look. */
const many = 1000;

interface Sample {
  readonly atMs: number;
  readonly bytes: number;
}

/**
 * How fast files are being transferred, from what is heard of them: this process's own progress events, and for other
 * workers' files the parts in Postgres each time the page looks.
 */
export class Meter {
  readonly #files = new Map<number, Sample[]>();

  /** Notes that `bytes` of a file were through at `atMs`. Fewer than before: its transfer has begun anew. */
  note(fileId: number, bytes: number, atMs: number): void {
    const known = this.#files.get(fileId) ?? [];
    const last = known.at(-1);
    const samples = last && bytes < last.bytes ? [] : known;
    // One sample in a second is enough; what came within the same second replaces the last.
    const before = samples.at(-2);
    if (before && atMs - before.atMs < 1000) samples.pop();
    samples.push({ atMs, bytes });
    while (samples.length > 2 && (samples[1]?.atMs ?? atMs) < atMs - spanMs) samples.shift();
    this.#files.set(fileId, samples);
    if (this.#files.size > many) this.#sweep(atMs);
  }

  /** Bytes of a file that are through, if anything was heard of it. */
  bytes(fileId: number): number | undefined {
    return this.#files.get(fileId)?.at(-1)?.bytes;
  }

  /**
   * Bytes per second until `nowMs`; undefined until it was watched for `leastMs`. A transfer that stands still slows
   * down.
   */
  rate(fileId: number, nowMs: number, leastMs = 1000): number | undefined {
    const samples = this.#files.get(fileId);
    const first = samples?.[0];
    const last = samples?.at(-1);
    if (!first || !last || last.atMs - first.atMs < leastMs) return undefined;
    return ((last.bytes - first.bytes) * 1000) / Math.max(nowMs - first.atMs, 1);
  }

  #sweep(nowMs: number): void {
    for (const [fileId, samples] of this.#files)
      if ((samples.at(-1)?.atMs ?? 0) < nowMs - staleMs) this.#files.delete(fileId);
  }
}
