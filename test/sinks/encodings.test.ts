import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { encodeCrc32, fullObjectCrc32 } from '../../src/sinks/checksum.ts';
import { checkKey } from '../../src/sinks/key.ts';
import { decodeMetadata, encodeMetadata } from '../../src/sinks/metadata.ts';

describe('metadata', () => {
  it('comes back as it was, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 100 }), (text) => {
        const encoded = encodeMetadata({ text });
        expect(encoded['text']).toMatch(/^([!-~]([ -~]*[!-~])?)?$/);
        expect(decodeMetadata(encoded)).toEqual({ text });
      }),
    );
  });

  it('remains readable where it can', () => {
    expect(encodeMetadata({ title: 'Contacts, daily (100%) für a+b' })).toEqual({
      title: 'Contacts, daily (100%25) f%C3%BCr a+b',
    });
  });

  it('fits into 2 KB, entries left out whole', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.stringMatching(/^[a-z]{1,20}$/),
          fc.string({ unit: 'grapheme', minLength: 100, maxLength: 900 }),
          { maxKeys: 6, size: 'max' },
        ),
        (metadata) => {
          const encoded = Object.entries(encodeMetadata(metadata));
          const size = encoded.reduce((sum, [key, text]) => sum + `x-amz-meta-${key}${text}`.length, 0);
          expect(size).toBeLessThanOrEqual(2048);
          for (const [key, text] of encoded) expect(decodeMetadata({ text })['text']).toBe(metadata[key]);
        },
      ),
    );
  });

  it('takes text that is not well-formed, and text that others wrote', () => {
    expect(encodeMetadata({ text: '\ud800' })).toEqual({ text: '%EF%BF%BD' });
    expect(decodeMetadata({ text: '100% of it' })).toEqual({ text: '100% of it' });
  });
});

describe('a CRC-32', () => {
  it('is four big-endian bytes in base64', () => {
    expect(encodeCrc32(0xcbf43926)).toBe('y/Q5Jg=='); // The check value of CRC-32: of "123456789".
  });

  it('comes back from what a server says', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), (value) => {
        expect(fullObjectCrc32(encodeCrc32(value), 'FULL_OBJECT')).toBe(value);
        expect(fullObjectCrc32(encodeCrc32(value), undefined)).toBe(value);
      }),
    );
  });

  it.each([
    [undefined, undefined],
    ['y/Q5Jg==-3', undefined],
    ['y/Q5Jg==', 'COMPOSITE'],
    ['', undefined],
    ['nonsense', 'FULL_OBJECT'],
  ])('is not read from %j of type %j', (text, type) => {
    expect(fullObjectCrc32(text, type)).toBeUndefined();
  });
});

describe('checkKey', () => {
  const segments = fc.array(fc.constantFrom('', '.', '..', '...', 'a', 'b c', '\0'), {
    minLength: 1,
    maxLength: 4,
  });

  it('lets through only what stays below where it is put', () => {
    fc.assert(
      fc.property(
        segments.map((parts) => parts.join('/')),
        (key) => {
          try {
            checkKey(key);
          } catch {
            return;
          }
          expect(new URL(key.replaceAll(' ', '_'), 'file:///base/').pathname).toBe(
            `/base/${key.replaceAll(' ', '_')}`,
          );
          expect(key).not.toMatch(/^$|\/$|\/\/|\0/);
        },
      ),
    );
  });

  it('quotes a key in its message, cut and escaped', () => {
    expect(() => checkKey(`a\n${'b'.repeat(500)}`)).toThrow(
      /^The key "a\\nb{118}…" holds a control character\.$/,
    );
  });
});
