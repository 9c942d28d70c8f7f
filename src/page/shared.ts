/** How long what was read for one visitor serves others too, in ms. */
const freshMs = 1000;
/** Different things kept at once. */
const most = 20;

/** Reads things once for all who ask for the same within a second: a hundred open tabs cost what one does. */
export class Shared<T> {
  readonly #kept = new Map<string, { readonly atMs: number; readonly value: Promise<T> }>();

  get(key: string, nowMs: number, read: () => Promise<T>): Promise<T> {
    const known = this.#kept.get(key);
    if (known && known.atMs > nowMs - freshMs) return known.value;
    const value = read();
    const entry = { atMs: nowMs, value };
    this.#kept.delete(key);
    this.#kept.set(key, entry);
    // A failure is nobody else's.
    value.catch(() => this.#kept.get(key) === entry && this.#kept.delete(key));
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > most && oldest !== undefined) this.#kept.delete(oldest);
    return value;
  }
}
