import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

export const MiB = 1024 * 1024;

/** `size` bytes that differ from place to place and from seed to seed. */
export function bytesOf(size: number, seed: string): Buffer {
  const result = Buffer.alloc(size);
  let block = createHash('sha512').update(seed).digest();
  const unit = Buffer.concat(
    Array.from({ length: 1024 }, () => (block = createHash('sha512').update(block).digest())),
  );
  for (let offset = 0; offset < size; offset += unit.length) {
    unit.copy(result, offset);
    // Each repetition begins with its own place, so that parts in a wrong order are noticed.
    if (offset + 8 <= size) result.writeBigUInt64BE(BigInt(offset), offset);
  }
  return result;
}

/** The bytes as a source that hands out chunks of odd sizes, some of them empty. */
export async function* stream(bytes: Buffer, chunk = 65_521): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += chunk) {
    await Promise.resolve();
    yield bytes.subarray(offset, offset + chunk);
    if (offset % 7 === 0) yield Buffer.alloc(0);
  }
}

/** Everything a source gives. */
export async function gather(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export { crc32 };
