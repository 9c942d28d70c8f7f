import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import type { Sink } from '../../src/sinks/index.ts';
import { bytesOf, crc32, gather, MiB, stream } from './bodies.ts';

/** What the suite has to know about the store behind a sink, and do behind the sink's back. */
export interface Harness {
  readonly sink: Sink;
  /** Bytes of a part; sizes around its multiples are tried. */
  readonly partSize: number;
  /** Bytes that may have been pulled from the body and not yet been acknowledged by the store. */
  readonly outstanding: number;
  readonly keepsMetadata: boolean;
  /** Whether the store can list unfinished uploads, so that `sweep` can work. */
  readonly sweeps: boolean;
  /** Whether the store's memory is not this process's. */
  readonly memoryIsOurs: boolean;
  /** Leaves an upload of some bytes unfinished, as a killed writer would. */
  leaveUnfinished(key: string, bytes: number): Promise<void>;
  /** Unfinished uploads in the store now. */
  countUnfinished(): Promise<number>;
  close(): Promise<void>;
}

const oddKeys = [
  'plain.zip',
  'a folder/with space.zip',
  'percent%20and%.zip',
  'plus+comma,semicolon;equals=ampersand&question?hash#.zip',
  'date=2026-11-01/hour=03/part-0001.zip.smime',
  'umlaut-äöü/日本語/😀.json',
  'e\u0301 and \u00e9.txt',
  '..dots../...three/.hidden',
  `quote'"<>|*:\\back.txt`,
  '~!@$^()[]{}`.txt',
  ' leading and trailing ',
  `${'long'.repeat(50)}.zip`,
];

const badKeys = [
  '',
  '/',
  '/absolute',
  'trailing/',
  'a//b',
  '.',
  '..',
  'a/../b',
  './a',
  'a/.',
  'nul\0',
  'a\nb',
  '\ud800',
];

/** Every sentence of the contract in src/sinks/sink.ts, against a real store. */
export function describeSink(title: string, start: () => Promise<Harness>): void {
  describe(`the sink contract on ${title}`, () => {
    let harness: Harness;
    let sink: Sink;
    let partSize: number;
    let counter = 0;
    const freshKey = () => `case-${String((counter += 1))}/object.bin`;

    beforeAll(async () => {
      harness = await start();
      ({ sink, partSize } = harness);
    });
    afterAll(async () => {
      sink.close();
      await harness.close();
    });

    const storedUnder = async (key: string) => gather(await sink.read(key));
    const sizes = () => ({
      nothing: 0,
      'one byte': 1,
      'one byte less than a part': partSize - 1,
      'exactly one part': partSize,
      'one byte more than a part': partSize + 1,
      'exactly two parts': 2 * partSize,
      'several parts': 3 * partSize + 17,
    });

    describe.each(['known', 'unknown'] as const)('put of %s length', (announced) => {
      it.each([
        'nothing',
        'one byte',
        'one byte less than a part',
        'exactly one part',
        'one byte more than a part',
        'exactly two parts',
        'several parts',
      ] as const)('stores %s', async (size) => {
        const key = freshKey();
        const bytes = bytesOf(sizes()[size], key);
        const result = await sink.put(
          key,
          stream(bytes),
          announced === 'known' ? { length: bytes.length } : {},
        );

        expect(result).toMatchObject({ bytes: bytes.length, crc32: crc32(bytes) });
        expect((await storedUnder(key)).equals(bytes)).toBe(true);
        const info = await sink.stat(key);
        expect(info).toMatchObject({ key, size: bytes.length });
        expect(info?.crc32 ?? crc32(bytes)).toBe(crc32(bytes));
        expect(info?.etag).toBe(result.etag ?? info?.etag);
        expect(Math.abs(Date.now() - (info?.lastModified?.getTime() ?? 0))).toBeLessThan(60_000);
        expect(await harness.countUnfinished()).toBe(0);
      });
    });

    it('replaces what was there', async () => {
      const key = freshKey();
      await sink.put(key, stream(bytesOf(2 * partSize, 'old')));
      await sink.put(key, stream(Buffer.from('new')));
      expect((await storedUnder(key)).toString()).toBe('new');
    });

    it('shows the old object until the whole new one is there', async () => {
      const key = freshKey();
      await sink.put(key, stream(Buffer.from('old')));
      const bytes = bytesOf(2 * partSize + 1, key);
      const body = async function* () {
        for await (const chunk of stream(bytes, partSize / 2)) {
          expect((await storedUnder(key)).toString()).toBe('old');
          yield chunk;
        }
      };
      await sink.put(key, body());
      expect((await storedUnder(key)).equals(bytes)).toBe(true);
    });

    it('holds one of two objects put at the same time, not a mixture', async () => {
      const key = freshKey();
      const rivals = [bytesOf(partSize + 1, 'a'), bytesOf(partSize + 1, 'b')];
      await Promise.all(rivals.map((bytes) => sink.put(key, stream(bytes))));
      const stored = await storedUnder(key);
      expect(rivals.some((bytes) => bytes.equals(stored))).toBe(true);
    });

    describe.each([
      ['within the first part', () => 1000],
      ['after several parts', () => 2 * partSize + 1000],
    ])('a put that fails %s', (_where, sizeOf) => {
      const failure = new Error('the source broke');
      const failures: Record<
        string,
        (key: string, bytes: Buffer) => { put: Promise<unknown>; error: unknown }
      > = {
        'because the body throws': (key, bytes) => {
          const body = async function* () {
            yield* stream(bytes);
            throw failure;
          };
          return { put: sink.put(key, body()), error: failure };
        },
        'because the body throws a system error': (key, bytes) => {
          const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
          const body = async function* () {
            yield* stream(bytes);
            throw reset;
          };
          return { put: sink.put(key, body()), error: reset };
        },
        'because the body ends early': (key, bytes) => ({
          put: sink.put(key, stream(bytes), { length: bytes.length + 1 }),
          error: expect.objectContaining({ code: 'ERR_BODY_LENGTH', retryable: true }),
        }),
        'because the body goes on': (key, bytes) => ({
          put: sink.put(key, stream(bytes), { length: bytes.length - 1 }),
          error: expect.objectContaining({ code: 'ERR_BODY_LENGTH', retryable: true }),
        }),
        'because the signal aborts': (key, bytes) => {
          const controller = new AbortController();
          const body = async function* () {
            yield* stream(bytes);
            controller.abort(failure);
            yield Buffer.from('more');
          };
          return { put: sink.put(key, body(), { signal: controller.signal }), error: failure };
        },
        'because the signal aborts while the source is silent': (key, bytes) => {
          const controller = new AbortController();
          const body = async function* () {
            yield* stream(bytes);
            setImmediate(() => controller.abort(failure));
            await new Promise(() => undefined);
          };
          return { put: sink.put(key, body(), { signal: controller.signal }), error: failure };
        },
        'because the signal was aborted before': (key, bytes) => ({
          put: sink.put(key, stream(bytes), { signal: AbortSignal.abort(failure) }),
          error: failure,
        }),
      };

      it.each(Object.keys(failures))('%s leaves nothing', async (name) => {
        const key = freshKey();
        const { put, error } = failures[name]?.(key, bytesOf(sizeOf(), key)) ?? {};
        await expect(put).rejects.toEqual(error);
        expect(await sink.stat(key)).toBeUndefined();
        expect(await harness.countUnfinished()).toBe(0);
      });

      it.each(Object.keys(failures))('%s keeps the object that was there', async (name) => {
        const key = freshKey();
        await sink.put(key, stream(Buffer.from('old')));
        const { put, error } = failures[name]?.(key, bytesOf(sizeOf(), key)) ?? {};
        await expect(put).rejects.toEqual(error);
        expect((await storedUnder(key)).toString()).toBe('old');
        expect(await harness.countUnfinished()).toBe(0);
      });

      it('closes the source', async () => {
        let closed = false;
        const bytes = bytesOf(sizeOf(), 'closes');
        const body = async function* () {
          try {
            yield* stream(bytes);
            yield bytes;
          } finally {
            closed = true;
          }
        };
        await expect(sink.put(freshKey(), body(), { length: bytes.length })).rejects.toThrow();
        expect(closed).toBe(true);
      });
    });

    it('pulls the body only as fast as the store accepts, and says how far it is', async () => {
      const chunk = 64 * 1024;
      const total = 12 * partSize;
      let pulled = 0;
      let furthest = 0;
      const accepted: number[] = [0];
      const body = async function* () {
        while (pulled < total) {
          await Promise.resolve(); // As fast as any source can be.
          furthest = Math.max(furthest, pulled - (accepted.at(-1) ?? 0));
          pulled += chunk;
          yield Buffer.alloc(chunk, pulled / chunk);
        }
      };
      await sink.put(freshKey(), body(), { length: total, onProgress: (bytes) => accepted.push(bytes) });
      expect(furthest).toBeLessThanOrEqual(harness.outstanding + chunk);
      expect(accepted).toEqual(accepted.toSorted((a, b) => a - b));
      expect(accepted.at(-1)).toBe(total);
    });

    it('holds a bounded part of the body in memory', async ({ skip }) => {
      skip(!harness.memoryIsOurs, 'the store lives in this process');
      const total = 192 * MiB;
      const chunk = Buffer.alloc(256 * 1024, 7);
      const before = process.memoryUsage().arrayBuffers;
      let most = 0;
      const body = async function* () {
        for (let sent = 0; sent < total; sent += chunk.length) {
          await Promise.resolve();
          most = Math.max(most, process.memoryUsage().arrayBuffers - before);
          yield chunk;
        }
      };
      await sink.put(freshKey(), body(), { length: total });
      expect(most).toBeLessThan(harness.outstanding + 24 * MiB);
    });

    it.each(oddKeys)('takes the key %j', async (key) => {
      const bytes = Buffer.from(key);
      await sink.put(key, stream(bytes));
      expect((await storedUnder(key)).equals(bytes)).toBe(true);
      expect(await sink.stat(key)).toMatchObject({ key, size: bytes.length });
      await sink.remove(key);
      expect(await sink.stat(key)).toBeUndefined();
    });

    it('takes an odd key for an object of several parts', async () => {
      const key = 'ä folder/100% + more, 日本語.zip';
      const bytes = bytesOf(partSize + 1, key);
      await sink.put(key, stream(bytes));
      expect((await storedUnder(key)).equals(bytes)).toBe(true);
    });

    it('keeps keys apart that differ in their spelling only', async () => {
      const keys = ['spelling/a b', 'spelling/a+b', 'spelling/a%20b', 'spelling/A b'];
      for (const key of keys) await sink.put(key, stream(Buffer.from(key)));
      for (const key of keys) expect((await storedUnder(key)).toString()).toBe(key);
    });

    it.each(badKeys)('refuses the key %j', async (key) => {
      const refusal = expect.objectContaining({ code: 'ERR_KEY' }) as unknown;
      await expect(sink.put(key, stream(Buffer.from('x')))).rejects.toEqual(refusal);
      await expect(sink.stat(key)).rejects.toEqual(refusal);
      await expect(sink.read(key)).rejects.toEqual(refusal);
      await expect(sink.remove(key)).rejects.toEqual(refusal);
    });

    it.each(['one part', 'several parts'])('gives metadata back for an object of %s', async (size) => {
      const metadata = {
        definition: 'contacts daily',
        title: '日本語 ä 100% “quoted” 😀',
        'file-name': ' a+b, c=d&e ',
        lines: 'one\r\ntwo\tthree',
      };
      const key = freshKey();
      const bytes = bytesOf(size === 'one part' ? 10 : partSize + 1, key);
      await sink.put(key, stream(bytes), { metadata, contentType: 'application/pkcs7-mime' });
      expect((await sink.stat(key))?.metadata).toEqual(harness.keepsMetadata ? metadata : {});
    });

    it('takes metadata that is too large', async () => {
      const key = freshKey();
      await sink.put(key, stream(Buffer.from('x')), {
        metadata: { first: 'kept', huge: 'ü'.repeat(2000), last: 'kept' },
      });
      const kept = harness.keepsMetadata ? { first: 'kept', last: 'kept' } : {};
      expect((await sink.stat(key))?.metadata).toEqual(kept);
    });

    describe('of what is missing', () => {
      it('stat is undefined', async () => {
        expect(await sink.stat('missing/object')).toBeUndefined();
      });
      it('read is ERR_NOT_FOUND', async () => {
        await expect(sink.read('missing/object')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
      });
      it('remove is a success', async () => {
        await sink.remove('missing/object');
      });
      it('a folder counts as missing', async () => {
        await sink.put('a-folder/object', stream(Buffer.from('x')));
        expect(await sink.stat('a-folder')).toBeUndefined();
        await expect(sink.read('a-folder')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
      });
    });

    it('stops reading when the signal aborts', async () => {
      const key = freshKey();
      await sink.put(key, stream(bytesOf(3 * partSize, key)));
      const controller = new AbortController();
      const reason = new Error('enough');
      const read = async () => {
        for await (const _chunk of await sink.read(key, controller.signal)) controller.abort(reason);
      };
      await expect(read()).rejects.toBe(reason);
      await expect(sink.read(key, controller.signal)).rejects.toBe(reason);
      await expect(sink.stat(key, controller.signal)).rejects.toBe(reason);
    });

    describe('sweep', () => {
      const long = () => new Date(Date.now() - 3_600_000);
      const soon = () => new Date(Date.now() + 3_600_000);

      it('removes what was left unfinished before the time, and nothing that is whole', async ({ skip }) => {
        skip(!harness.sweeps, 'the store cannot list unfinished uploads');
        onTestFinished(async () => {
          await sink.sweep('', soon());
        });
        await sink.put('swept/whole', stream(Buffer.from('whole')));
        await harness.leaveUnfinished('swept/one', 1000);
        await harness.leaveUnfinished('swept/two', 200);
        expect(await sink.sweep('another/', soon())).toEqual({ aborted: 0, bytes: 0 });

        expect(await sink.sweep('swept/', long())).toEqual({ aborted: 0, bytes: 0 });
        expect(await harness.countUnfinished()).toBe(2);
        expect(await sink.sweep('swept/', soon())).toEqual({ aborted: 2, bytes: 1200 });
        expect(await harness.countUnfinished()).toBe(0);
        expect((await storedUnder('swept/whole')).toString()).toBe('whole');
      });

      it('finds nothing where nothing was left', async () => {
        expect(await sink.sweep('never-used/', soon())).toEqual({ aborted: 0, bytes: 0 });
      });
    });
  });
}
