import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { maxParts, maxPartSize, MiB, minPartSize, partSize } from '../../src/sinks/part-size.ts';

const TiB = 1024 * 1024 * MiB;
const preferences = fc.integer({ min: minPartSize, max: maxPartSize });
const partNumbers = fc.integer({ min: 1, max: maxParts });

describe('partSize of a known length', () => {
  it('lets 10,000 parts suffice, up to 5 TiB', () => {
    fc.assert(
      fc.property(preferences, fc.integer({ min: 0, max: 5 * TiB }), (preferred, length) => {
        expect(Math.ceil(length / partSize(1, preferred, length))).toBeLessThanOrEqual(maxParts);
      }),
    );
  });

  it('is the same for every part, and one that S3 takes', () => {
    fc.assert(
      fc.property(
        preferences,
        partNumbers,
        fc.integer({ min: 0, max: 5 * TiB }),
        (preferred, number, length) => {
          const size = partSize(number, preferred, length);
          expect(size).toBe(partSize(1, preferred, length));
          expect(size).toBeGreaterThanOrEqual(minPartSize);
          expect(size).toBeLessThanOrEqual(maxPartSize);
        },
      ),
    );
  });

  it('is the preferred one as long as that suffices', () => {
    expect(partSize(1, 8 * MiB, 8 * MiB * maxParts)).toBe(8 * MiB);
    expect(partSize(1, 8 * MiB, 8 * MiB * maxParts + 1)).toBe(9 * MiB);
    expect(partSize(1, 8 * MiB, 5 * TiB)).toBe(525 * MiB);
  });
});

describe('partSize of an unknown length', () => {
  it('reaches 5 TiB in 10,000 parts', () => {
    fc.assert(
      fc.property(preferences, (preferred) => {
        let total = 0;
        for (let number = 1; number <= maxParts; number += 1) total += partSize(number, preferred);
        expect(total).toBeGreaterThanOrEqual(5 * TiB);
      }),
      { examples: [[minPartSize]] },
    );
  });

  it('never shrinks and is one that S3 takes', () => {
    fc.assert(
      fc.property(preferences, fc.integer({ min: 1, max: maxParts - 1 }), (preferred, number) => {
        const size = partSize(number, preferred);
        expect(size).toBeGreaterThanOrEqual(minPartSize);
        expect(partSize(number + 1, preferred)).toBeGreaterThanOrEqual(size);
        expect(size).toBeLessThanOrEqual(maxPartSize);
      }),
    );
  });

  it('is the preferred one at first', () => {
    expect(partSize(1, 8 * MiB)).toBe(8 * MiB);
    expect(partSize(700, 8 * MiB)).toBe(8 * MiB);
    expect(partSize(701, 8 * MiB)).toBe(16 * MiB);
    expect(partSize(maxParts, 8 * MiB)).toBe(1024 * MiB);
  });
});
