import { crc32 } from 'node:zlib';

/** A stretch of the body that fills one part, or what was left of it. */
export interface Part {
  /** From 1. */
  readonly number: number;
  readonly bytes: Buffer;
  /** CRC-32 of these bytes, unsigned. */
  readonly crc32: number;
  /** Length in bytes and CRC-32 of the body up to the end of this part. */
  readonly upTo: { readonly bytes: number; readonly crc32: number };
  readonly last: boolean;
  /** Gives the memory back, once the store has acknowledged the bytes. */
  readonly release: () => void;
}

/** Lends buffers and lends the same ones again: fresh memory costs page faults. */
export class BufferPool {
  readonly #free: Buffer[] = [];

  /** A buffer of exactly `size` bytes with unspecified content. */
  acquire(size: number): Buffer {
    const free = this.#free.pop();
    return free?.length === size ? free : Buffer.allocUnsafeSlow(size);
  }

  release(buffer: Buffer): void {
    this.#free.push(buffer);
  }
}

/**
 * Cuts a body into parts. A part is handed over once the next byte or the end has come, so that the last one is
 * known as the last; an empty body is one empty part. The body is pulled only while a part is asked for.
 *
 * @param sizeOf size in bytes of part `number`, at least 1
 */
export async function* cutIntoParts(
  body: AsyncIterable<Uint8Array>,
  sizeOf: (number: number) => number,
  pool: BufferPool,
): AsyncGenerator<Part, void, void> {
  let number = 1;
  let buffer = pool.acquire(sizeOf(number));
  let filled = 0;
  let checksum = 0;
  let total = 0;
  let totalChecksum = 0;
  const cut = (last: boolean): Part => {
    const lent = buffer;
    return {
      number,
      bytes: lent.subarray(0, filled),
      crc32: checksum,
      upTo: { bytes: total, crc32: totalChecksum },
      last,
      release: () => pool.release(lent),
    };
  };

  for await (const chunk of body) {
    for (let offset = 0; offset < chunk.byteLength;) {
      if (filled === buffer.length) {
        yield cut(false);
        number += 1;
        buffer = pool.acquire(sizeOf(number));
        filled = 0;
        checksum = 0;
      }
      const piece = chunk.subarray(offset, offset + buffer.length - filled);
      buffer.set(piece, filled);
      // Both while the bytes are in the processor's cache.
      checksum = crc32(piece, checksum);
      totalChecksum = crc32(piece, totalChecksum);
      total += piece.byteLength;
      filled += piece.byteLength;
      offset += piece.byteLength;
    }
  }
  yield cut(true);
}
