import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { combineCrc32 } from '../../src/sinks/crc32-combine.ts';

test('the CRC-32 of parts put together is that of the whole, however it is cut', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 5000 }),
      fc.array(fc.nat(5000), { maxLength: 8 }),
      (bytes, cuts) => {
        const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length].sort((a, b) => a - b);
        const pieces = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
        const combined = pieces.reduce((sum, piece) => combineCrc32(sum, crc32(piece), piece.length), 0);
        expect(combined).toBe(crc32(bytes));
      },
    ),
  );
});

test('lengths beyond 32 bits count in full', () => {
  // Appending zeros one block at a time is the same as appending them at once.
  const zeros = Buffer.alloc(1 << 20);
  let step = crc32('x');
  let zeroStep = 0;
  for (let block = 0; block < 5000; block += 1) {
    step = combineCrc32(step, crc32(zeros), zeros.length);
    zeroStep = combineCrc32(zeroStep, crc32(zeros), zeros.length);
  }
  expect(combineCrc32(crc32('x'), zeroStep, 5000 * zeros.length)).toBe(step);
});
