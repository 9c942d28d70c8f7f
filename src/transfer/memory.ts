const KiB = 1024;
const MiB = 1024 * KiB;

/** Memory lent for a while. */
export interface Loan {
  /** Exactly as many bytes as were asked for, with unspecified content. */
  readonly buffer: Buffer;
  /** Gives them back; calling it again does nothing. */
  release(): void;
}

/**
 * A limit on bytes held in memory, shared by transfers, and the buffers themselves: they are lent again and again,
 * since fresh memory costs page faults. Requests are served in order, so that a large one is not starved by small ones.
 */
export class Memory {
  /** Bytes. */
  readonly total: number;
  #free: number;
  readonly #waiting: { readonly bytes: number; readonly grant: () => void }[] = [];
  /** Buffers that nobody uses now, by their size. Together with the lent ones they stay within `total`. */
  readonly #spare = new Map<number, Buffer[]>();
  #spareBytes = 0;

  /** @param total bytes, at least 1 */
  constructor(total: number) {
    this.total = total;
    this.#free = total;
  }

  /** Bytes lent out now. */
  get used(): number {
    return this.total - this.#free;
  }

  /** Bytes of buffers that are kept for the next loan. */
  get spare(): number {
    return this.#spareBytes;
  }

  /** Waits until so many bytes are free, and lends a buffer. A request for more than there is gets all of it, alone. */
  async lend(bytes: number, signal?: AbortSignal): Promise<Loan> {
    const size = sizeOf(bytes);
    const giveBack = await this.#claim(size, signal);
    const whole = this.#take(size);
    this.#shed(this.#free);
    let lent = true;
    return {
      buffer: whole.subarray(0, bytes),
      release: () => {
        if (!lent) return;
        lent = false;
        this.#keep(whole);
        giveBack();
      },
    };
  }

  /**
   * Waits until so many bytes are free and counts them as used, for whoever has buffers of its own.
   *
   * @returns gives them back; calling it again does nothing
   */
  async acquire(bytes: number, signal?: AbortSignal): Promise<() => void> {
    const giveBack = await this.#claim(bytes, signal);
    this.#shed(this.#free);
    return giveBack;
  }

  async #claim(bytes: number, signal: AbortSignal | undefined): Promise<() => void> {
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

  #take(size: number): Buffer {
    const spare = this.#spare.get(size)?.pop();
    if (!spare) return Buffer.allocUnsafeSlow(size);
    this.#spareBytes -= size;
    return spare;
  }

  #keep(buffer: Buffer): void {
    const sameSize = this.#spare.get(buffer.length);
    if (sameSize) sameSize.push(buffer);
    else this.#spare.set(buffer.length, [buffer]);
    this.#spareBytes += buffer.length;
    // Its own bytes are about to be free again; whatever goes beyond is left to the collector.
    this.#shed(Math.max(0, this.#free + Math.min(buffer.length, this.total)));
  }

  /** Drops spare buffers until they fit into so many bytes. */
  #shed(room: number): void {
    for (const [size, buffers] of this.#spare) {
      while (this.#spareBytes > room && buffers.length > 0) {
        buffers.pop();
        this.#spareBytes -= size;
      }
      if (buffers.length === 0) this.#spare.delete(size);
    }
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

/** Sizes in bytes that buffers come in: few, so that they fit the next request. */
function sizeOf(bytes: number): number {
  if (bytes > MiB) return Math.ceil(bytes / MiB) * MiB;
  return Math.max(64 * KiB, 2 ** Math.ceil(Math.log2(Math.max(bytes, 1))));
}

/** The memory of a process in two lanes: a large file that drips must not hold back small ones. */
export interface Lanes {
  readonly small: Memory;
  readonly large: Memory;
}

/**
 * Bytes for transfers where the config names none: a quarter of what the machine or container has, within bounds in
 * which more brings nothing and less is slow.
 *
 * @param available bytes of the machine, or of the container's limit
 */
export function usualMemory(available: number): number {
  const quarter = Math.floor(available / 4 / MiB) * MiB;
  return Math.min(Math.max(quarter, 64 * MiB), 512 * MiB);
}

/** Divides the bytes: a quarter for small files, but no more than 32 MiB. */
export function intoLanes(total: number): Lanes {
  const small = Math.min(Math.floor(total / 4), 32 * MiB);
  return { small: new Memory(small), large: new Memory(total - small) };
}
