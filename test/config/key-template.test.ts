import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileKeyTemplate, defaultKeyTemplate, manifestKey } from '../../src/config/key-template.ts';
import { UdmSyncError, UsageError } from '../../src/errors.ts';

const window = {
  tenant: 'acme',
  definition: 'contacts-hourly',
  source: 'UCSX',
  type: 'contacts',
  from: new Date('2026-01-31T23:00:00Z'),
  to: new Date('2026-02-01T00:00:00Z'),
  run: '7',
};
const template = compileKeyTemplate(defaultKeyTemplate);
const folder = 'acme/contacts-hourly/dt=2026-01-31/20260131T230000Z_20260201T000000Z';
const keyOf = (file: string) => template.render({ ...window, file });
const last = (file: string) => keyOf(file).slice(folder.length + 1);

describe('rendering', () => {
  test('the default template', () => {
    expect(keyOf('contacts_1.zip.smime')).toBe(`${folder}/contacts_1.zip.smime`);
    expect(manifestKey(template, window)).toBe(`${folder}/_manifest.json`);
  });

  test('every placeholder, with and without a format, around text', () => {
    const all = compileKeyTemplate(
      "x-{source}/{type}.{run}/{definition}/{from}/{to:HH'h'mm}/{tenant}_{file}",
    );
    expect(all.render({ ...window, file: 'a' })).toBe(
      'x-UCSX/contacts.7/contacts-hourly/20260131T230000Z/00h00/acme_a',
    );
  });

  test.each([
    ['a b+c,d=é☃.zip', 'a b+c,d=é☃.zip'],
    ['50%.zip', '50%25.zip'],
    ['../../etc/passwd', '..%2F..%2Fetc%2Fpasswd'],
    ['a\\b', 'a%5Cb'],
    ['a\nb\u0000\u007f\u0085', 'a%0Ab%00%7F%C2%85'],
    ['.', '%2E'],
    ['..', '%2E.'],
    ['.hidden', '.hidden'],
    ['~', '%7E'],
    ['\ud800', '%D800'],
    ['\uffff', '%EF%BF%BF'],
    ['_manifest.json', '%5Fmanifest.json'],
    ['_Manifest.JSON', '%5FManifest.JSON'],
    ['x_manifest.json', 'x_manifest.json'],
  ])('the file %j becomes %j', (file, expected) => expect(last(file)).toBe(expected));

  test('no file takes the place of the manifest, whatever stands before {file}', () => {
    const odd = compileKeyTemplate('{definition}/{from}/_{file}');
    const key = odd.render({ ...window, file: 'manifest.json' });
    expect(key).not.toBe(manifestKey(odd, window));
    expect(key).toMatch(/\/%5Fmanifest\.json$/);
  });

  test('a long name is cut to fit, keeping its extension, and stays its own', () => {
    const long = `${'ü'.repeat(1000)}.zip.smime`;
    expect(last(long)).toMatch(/^ü+~[0-9a-f]{16}\.zip\.smime$/);
    expect(Buffer.byteLength(last(long))).toBeGreaterThan(195);
    expect(Buffer.byteLength(last(long))).toBeLessThanOrEqual(200);
    expect(last(`x${long}`)).not.toBe(last(long));
    // A short name that looks like a cut one is not taken for it.
    expect(last(last(long))).not.toBe(last(long));
    expect(last('a'.repeat(200))).toBe('a'.repeat(200));
    expect(last('a'.repeat(201))).toMatch(/^a{183}~[0-9a-f]{16}$/);
    // No escape is cut in two.
    expect(last('\n'.repeat(1000))).toMatch(/^(%0A)+~[0-9a-f]{16}$/);
  });

  test('values other than the file are encoded too', () => {
    const odd = compileKeyTemplate('{source}/{type}/{definition}/{from}/{file}');
    expect(odd.render({ ...window, source: '..', type: 'a/b', file: 'f' })).toMatch(/^%2E\.\/a%2Fb\//);
  });

  test('an empty name has no key', () => {
    expect(() => keyOf('')).toThrow(expect.objectContaining({ code: 'ERR_KEY' }));
    const odd = compileKeyTemplate('{source}/{definition}/{from}/{file}');
    expect(() => odd.render({ ...window, source: '', file: 'f' })).toThrow(UdmSyncError);
  });
});

// Names made of what is awkward, beside any string at all, lone surrogates and very long ones included.
const awkward = fc.string({
  unit: fc.constantFrom(
    '.',
    '/',
    '%',
    '2',
    'F',
    'f',
    '\\',
    '~',
    '_',
    'a',
    'é',
    '😀',
    '\ud83d',
    '\n',
    '\u0000',
    '\ufffe',
  ),
  minLength: 1,
  maxLength: 300,
});
const short = fc.string({
  unit: fc.constantFrom('.', '%', '2', 'E', '/', '~', '5', 'F', '_'),
  minLength: 1,
  maxLength: 4,
});
const anything = fc.string({ unit: 'binary', minLength: 1, maxLength: 400 });
const name = fc.oneof(
  awkward,
  short,
  anything,
  fc.constantFrom('_manifest.json', '%5Fmanifest.json', '.', '..'),
);

describe('for any file name', () => {
  test('the key is one safe segment of at most 200 bytes below the folder', () => {
    fc.assert(
      fc.property(name, (file) => {
        const segment = last(file);
        expect(keyOf(file).startsWith(`${folder}/`)).toBe(true);
        expect(segment).not.toMatch(/[/\\\p{Cc}\p{Cs}]/u);
        expect(['', '.', '..', '_manifest.json']).not.toContain(segment);
        expect(Buffer.byteLength(segment)).toBeLessThanOrEqual(200);
      }),
      { numRuns: 2000 },
    );
  });

  test('distinct names have distinct keys', () => {
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 2, maxLength: 50 }), (files) => {
        expect(new Set(files.map((file) => Buffer.from(keyOf(file)).toString('hex'))).size).toBe(
          files.length,
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe('mistakes in a template', () => {
  test.each([
    ['{definition}/{from}/{fil}', 'unknown placeholder {fil}'],
    ['{definition}/{from}/{file}/x', 'must end with {file}'],
    ['{definition}/{from}/{file}.zip', 'must end with {file}'],
    ['{definition}/{file}/{from}/{file}', 'hold it once'],
    ['{from}/{file}', 'must hold {definition} in its folder'],
    ['{from}/{definition}_{file}', 'must hold {definition} in its folder'],
    ['{definition}/{file}', 'must hold {from} in its folder'],
    ['{definition}/{to}/{file}', 'must hold {from} in its folder'],
    ['{definition}/{from}_{file}', 'must hold {from} in its folder'],
    ['/{definition}/{from}/{file}', 'may not start or end with /'],
    ['{definition}//{from}/{file}', 'empty segment'],
    ['{definition}/../{from}/{file}', '. or .. segment'],
    ['{definition}/./{from}/{file}', '. or .. segment'],
    ['{definition}/{from}/{file', 'without its partner'],
    ['{definition}/from}/{from}/{file}', 'without its partner'],
    ['a\\b/{definition}/{from}/{file}', 'no backslash'],
    ['a~/{definition}/{from}/{file}', 'no backslash, ~'],
    ['{definition}/{from:yyyy/MM}/{file}', 'one placeholder for each folder'],
    ['{definition}/{from:yyyyMMddTHH}/{file}', '"T"'],
    ['{definition}/{from:YYYY}/{file}', '"YYYY"'],
    ["{definition}/{from:'x'}/{file}", 'no date token'],
    ['{definition}/{from:}/{file}', 'empty date format'],
    ["{definition}/{from:yyyy'}/{file}", 'without its partner'],
    ['{definition:x}/{from}/{file}', 'no date'],
    ['', 'must end with {file}'],
  ])('%s', (text, message) => {
    expect(() => compileKeyTemplate(text)).toThrow(UsageError);
    expect(() => compileKeyTemplate(text)).toThrow(message);
  });

  test('all are named at once', () => {
    expect(() => compileKeyTemplate('/{a}/{b}')).toThrow(
      /\{a\}.*\{b\}.*start or end with.*\{file\}.*\{definition\}/s,
    );
  });
});
