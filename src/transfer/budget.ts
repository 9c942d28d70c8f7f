/**
 * A limit on bytes held in memory, shared by all transfers of a process. Requests are served in order, so that a
 * large one is not starved by small ones.
 */
export class ByteBudget {
  readonly total: number;
  #free: number;
  readonly #waiting: { bytes: number; grant: () => void }[] = [];

  /** @param total bytes, at least 1 */
  constructor(total: number) {
    this.total = total;
    this.#free = total;
  }

  /** Bytes lent out now. */
  get used(): number {
    return this.total - this.#free;
  }

  /**
   * Waits until so many bytes are free and takes them. A request for more than there is gets all of it, alone.
   *
   * @returns gives them back; calling it again does nothing
   */
  async acquire(bytes: number, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const wanted = Math.min(bytes, this.total);
    if (this.#waiting.length > 0 || wanted > this.#free) await this.#queue(wanted, signal);
    else this.#free -= wanted;
    let given = true;
    return () => {
      if (!given) return;
      given = false;
      this.#free += wanted;
      this.#serve();
    };
  }

  #queue(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        const at = this.#waiting.indexOf(entry);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(signal?.reason instanceof Error ? signal.reason : new DOMException('aborted', 'AbortError'));
        this.#serve();
      };
      const entry = {
        bytes,
        grant: () => {
          signal?.removeEventListener('abort', leave);
          resolve();
        },
      };
      this.#waiting.push(entry);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  #serve(): void {
    for (let next = this.#waiting[0]; next && next.bytes <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.bytes;
      next.grant();
    }
  }
}
