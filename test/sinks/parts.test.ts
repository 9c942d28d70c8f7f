import fc from 'fast-check';
import { expect, it } from 'vitest';

import { BufferPool, cutIntoParts } from '../../src/sinks/parts.ts';
import { crc32 } from './bodies.ts';

const chunks = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 30 });

async function* give(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    await Promise.resolve();
    yield piece;
  }
}

it('cuts any chunks into parts of the wanted sizes that are the body together', async () => {
  await fc.assert(
    fc.asyncProperty(
      chunks,
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
      async (pieces, sizes) => {
        const sizeOf = (number: number) => sizes[(number - 1) % sizes.length] ?? 1;
        const body = Buffer.concat(pieces);
        const seen: Buffer[] = [];
        let ended = false;
        for await (const part of cutIntoParts(give(pieces), sizeOf, new BufferPool())) {
          expect(ended).toBe(false);
          ended = part.last;
          seen.push(Buffer.from(part.bytes));
          expect(part.number).toBe(seen.length);
          expect(part.crc32).toBe(crc32(part.bytes));
          const upTo = Buffer.concat(seen);
          expect(part.upTo).toEqual({ bytes: upTo.length, crc32: crc32(upTo) });
          if (part.last) expect(part.bytes.length).toBeLessThanOrEqual(sizeOf(part.number));
          else expect(part.bytes.length).toBe(sizeOf(part.number));
          if (part.number > 1) expect(part.bytes.length).toBeGreaterThan(0);
          part.release();
        }
        expect(ended).toBe(true);
        expect(Buffer.concat(seen).equals(body)).toBe(true);
      },
    ),
  );
});

it('lends the same buffers again, if their size is the wanted one', () => {
  const pool = new BufferPool();
  const first = pool.acquire(8);
  expect(pool.acquire(8)).not.toBe(first);
  pool.release(first);
  expect(pool.acquire(8)).toBe(first);
  pool.release(first);
  expect(pool.acquire(16)).toHaveLength(16);
});
