import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createSink } from '../../src/sinks/index.ts';
import type { SentPart, Sink } from '../../src/sinks/sink.ts';
import { createLogger } from '../../src/log.ts';
import type { Bandwidth } from '../../src/transfer/bandwidth.ts';
import { Memory } from '../../src/transfer/memory.ts';
import { Pace } from '../../src/transfer/pace.ts';
import type { Journal, UploadRecord } from '../../src/transfer/journal.ts';
import { Source } from '../../src/transfer/source.ts';
import { transfer } from '../../src/transfer/transfer.ts';
import { createUdmClient } from '../../src/udm/client.ts';
import type { UdmClient } from '../../src/udm/types.ts';
import { startSimulator } from '../../simulator/server.ts';
import type { Simulator } from '../../simulator/server.ts';
import { cephInstalled, startS3Server } from '../support/s3.ts';
import type { S3Server } from '../support/s3.ts';

const MiB = 1024 * 1024;

/** A journal that outlives transfers as Postgres does. */
class MemoryJournal implements Journal {
  record: UploadRecord | undefined;
  parts = new Map<number, SentPart>();
  readonly forgotten: string[] = [];
  onSent: (part: SentPart) => void = () => undefined;

  load() {
    return Promise.resolve(this.record && { ...this.record, parts: [...this.parts.values()] });
  }
  begun(record: UploadRecord) {
    this.record = record;
    return Promise.resolve();
  }
  sent(part: SentPart) {
    this.parts.set(part.number, part);
    this.onSent(part);
    return Promise.resolve();
  }
  forget(reason: string) {
    this.record = undefined;
    this.parts.clear();
    this.forgotten.push(reason);
    return Promise.resolve();
  }
}

describe.each(cephInstalled() ? (['fauxqs', 'ceph'] as const) : (['fauxqs'] as const))(
  'a transfer into %s',
  (kind) => {
    let server: S3Server;
    let sink: Sink;
    let simulator: Simulator;
    let upstream: UdmClient;
    let journal: MemoryJournal;
    let located = 0;

    beforeAll(async () => {
      server = await startS3Server(kind);
      const { endpoint, region, credentials } = server;
      const bucket = await server.createBucket();
      sink = createSink('s3', {
        type: 's3',
        bucket,
        endpoint,
        region,
        credentials,
        forcePathStyle: true,
        partSize: 5 * MiB,
        concurrency: 3,
      });
    });
    afterAll(async () => {
      sink.close();
      await server.stop();
    });
    beforeEach(async () => {
      simulator = await startSimulator();
      located = 0;
      journal = new MemoryJournal();
      upstream = createUdmClient({
        tenant: 'demo',
        baseUrl: simulator.baseUrl,
        apiKey: 'demo-api-key',
        auth: { grant: 'client_credentials', clientId: 'demo-client', clientSecret: 'demo-client-secret' },
        download: {},
        logger: createLogger('silent'),
      });
    });
    afterEach(async () => {
      upstream.close();
      await simulator.close();
    });

    function bring(
      name: string,
      change: {
        signal?: AbortSignal;
        announcedSize?: number;
        memory?: Memory;
        pace?: Pace;
        bandwidth?: Bandwidth;
      } = {},
    ) {
      const source = new Source(
        async () => {
          located += 1;
          const url = await upstream.locateFile(name);
          if (!url) throw new Error(`there is no ${name}`);
          return url;
        },
        (url, options) => upstream.download(url, options),
      );
      const {
        signal = new AbortController().signal,
        announcedSize,
        memory = new Memory(64 * MiB),
        pace = new Pace(),
        bandwidth,
      } = change;
      return transfer({
        source,
        sink,
        key: name,
        journal,
        memory,
        pace,
        bandwidth,
        signal,
        put: {},
        announcedSize,
      });
    }

    async function expectStored(name: string, result: { bytes: number; crc32: number }) {
      const digest = await simulator.fileDigest(name);
      const hash = createHash('sha256');
      let checksum = 0;
      for await (const chunk of await sink.read(name)) {
        hash.update(chunk);
        checksum = crc32(chunk, checksum);
      }
      expect(hash.digest('hex')).toBe(digest?.sha256);
      expect(result).toMatchObject({ bytes: digest?.size, crc32: checksum });
      expect(journal.record).toBeUndefined();
    }

    const rangesRead = () => simulator.requests.filter((request) => request.path.startsWith('/s3/')).length;
    const bytesRead = () =>
      simulator.requests
        .filter((request) => request.path.startsWith('/s3/'))
        .reduce((sum, request) => sum + request.bytesSent, 0);

    test.each([
      ['empty', 0],
      ['of one byte', 1],
      ['of exactly one part', 5 * MiB],
      ['of one part and a byte', 5 * MiB + 1],
      ['of several parts', 23 * MiB + 17],
    ])('of a file %s', async (label, size) => {
      for (const announcedSize of [undefined, size, 3]) {
        const name = `${label} ${announcedSize ?? 'unannounced'}.zip`;
        simulator.addFile({ name, size });
        await expectStored(name, await bring(name, announcedSize === undefined ? {} : { announcedSize }));
      }
    });

    test('that was interrupted reads only what is missing', async () => {
      simulator.addFile({ name: 'big.zip', size: 40 * MiB });
      const stop = new AbortController();
      journal.onSent = () => {
        if (journal.parts.size === 4) stop.abort(new Error('killed'));
      };
      await expect(bring('big.zip', { signal: stop.signal, announcedSize: 40 * MiB })).rejects.toThrow(
        'killed',
      );
      const kept = journal.parts.size;
      expect(kept).toBeGreaterThanOrEqual(4);
      const before = rangesRead();
      const result = await bring('big.zip', { announcedSize: 40 * MiB });
      expect(result.resumed).toBe(kept * 5 * MiB);
      // The first attempt had three more ranges open, at most, that the origin may note late.
      expect(rangesRead() - before).toBeLessThanOrEqual(8 - kept + 3);
      await expectStored('big.zip', result);
    });

    test('whose parts the store has lost sends them again', async () => {
      simulator.addFile({ name: 'swept.zip', size: 30 * MiB });
      const stop = new AbortController();
      journal.onSent = () => {
        if (journal.parts.size === 2) stop.abort(new Error('killed'));
      };
      await expect(bring('swept.zip', { signal: stop.signal })).rejects.toThrow('killed');
      const { record } = journal;
      if (!record) throw new Error('the upload has begun');
      await sink.uploads?.abort(record.upload);
      journal.onSent = () => undefined;
      // Where the store cannot say what it has, the loss shows only when parts are sent or put together.
      const result = await bring('swept.zip').catch(() => bring('swept.zip'));
      expect(journal.forgotten.join()).toMatch(/no longer had the upload/);
      await expectStored('swept.zip', result);
    });

    test('whose completion was answered by nobody is settled by looking', async () => {
      simulator.addFile({ name: 'answered.zip', size: 11 * MiB });
      const result = await bring('answered.zip', { announcedSize: 11 * MiB });
      const { uploads } = sink;
      if (!uploads) throw new Error('S3 has uploads');
      // As a worker finds it that takes over after the completion and before it was noted.
      const begun = await uploads.begin('twice.zip');
      const bytes = Buffer.alloc(5 * MiB, 7);
      const part = await uploads.send(begun, 1, bytes, crc32(bytes));
      const whole = { bytes: bytes.length, crc32: part.crc32 };
      await uploads.complete(begun, [part], whole);
      await expect(uploads.complete(begun, [part], whole)).resolves.toMatchObject(whole);
      await expectStored('answered.zip', result);
    });

    test('whose URL is too old before the first byte asks for another', async () => {
      simulator.addFile({ name: 'late.zip', size: 100 });
      simulator.faults.add({ endpoint: 'GET /s3/{filename}', kind: 'expired-url', nth: 1, times: 1 });
      await expectStored('late.zip', await bring('late.zip', { announcedSize: 100 }));
      expect(located).toBe(2);
    });

    test.each(['reset-mid-body', 'truncate', 'expired-url'] as const)(
      'goes on at the byte after %s',
      async (fault) => {
        simulator.addFile({ name: `${fault}.zip`, size: 23 * MiB });
        simulator.faults.add({ endpoint: 'GET /s3/{filename}', kind: fault, nth: 2, times: 3 });
        const result = await bring(`${fault}.zip`, { announcedSize: 23 * MiB });
        await expectStored(`${fault}.zip`, result);
        // One URL for all ranges, and one more when that was too old.
        expect(located).toBeLessThanOrEqual(fault === 'expired-url' ? 4 : 1);
        // Each break came after half a part, which is not read again; a reset also loses what was in flight.
        expect(bytesRead()).toBeLessThan(23 * MiB + (fault === 'truncate' ? 1 : 15) * MiB);
      },
    );

    test('of a file that changes under it begins anew, and says so', async () => {
      simulator.addFile({ name: 'changing.zip', size: 23 * MiB });
      simulator.faults.add({ endpoint: 'GET /s3/{filename}', kind: 'changed', nth: 3, times: 1 });
      await expect(bring('changing.zip')).rejects.toMatchObject({ code: 'ERR_PRESIGNED_CHANGED' });
      expect(journal.forgotten).toEqual(['the file changed upstream; its upload begins anew']);
      await expectStored('changing.zip', await bring('changing.zip'));
    });

    test.each(['ignore-range', 'no-length', 'no-etag'] as const)(
      'from a source with %s goes as one stream',
      async (fault) => {
        simulator.addFile({ name: `${fault}.zip`, size: 12 * MiB });
        simulator.faults.add({ endpoint: 'GET /s3/{filename}', kind: fault });
        await expectStored(`${fault}.zip`, await bring(`${fault}.zip`, { announcedSize: 12 * MiB }));
      },
    );

    test('from a source that stops serving ranges half way goes as one stream', async () => {
      simulator.addFile({ name: 'fickle.zip', size: 23 * MiB });
      simulator.faults.add({ endpoint: 'GET /s3/{filename}', kind: 'ignore-range', nth: 3, times: 100 });
      await expectStored('fickle.zip', await bring('fickle.zip'));
      expect(journal.forgotten.join()).toMatch(/no ranges/);
    });

    test('reads as many ranges at a time as the sink sends parts', async () => {
      const memory = new Memory(64 * MiB);
      simulator.addFile({ name: 'wide.zip', size: 40 * MiB });
      simulator.faults.add({ endpoint: 'GET /s3/{filename}', kind: 'delay', ms: 2000, nth: 2, times: 100 });
      const stop = new AbortController();
      const ended = expect(bring('wide.zip', { signal: stop.signal, memory })).rejects.toThrow('enough');
      await expect
        .poll(() => [journal.parts.size, memory.used], { timeout: 10_000 })
        .toEqual([1, 3 * 5 * MiB]);
      stop.abort(new Error('enough'));
      await ended;
      expect(memory.used).toBe(0);
    });

    test('where parts move fast, takes larger ones', async () => {
      simulator.addFile({ name: 'fast.zip', size: 50 * MiB });
      const pace = new Pace();
      pace.note(1000 * MiB, 1000);
      let record: UploadRecord | undefined;
      journal.onSent = () => (record = journal.record);
      await expectStored('fast.zip', await bring('fast.zip', { pace, announcedSize: 50 * MiB }));
      // Two rounds of three parallel parts.
      expect(record?.partSize).toBe(8 * MiB);
    });

    test('of many files at once stays within the budget', async () => {
      const memory = new Memory(12 * MiB);
      const names = Array.from({ length: 5 }, (_, index) => `many-${index}.zip`);
      for (const name of names) simulator.addFile({ name, size: 11 * MiB });
      let most = 0;
      const watched = names.map(async (name) => {
        const own = new MemoryJournal();
        own.onSent = () => {
          most = Math.max(most, memory.used);
        };
        const source = new Source(
          async () => {
            const url = await upstream.locateFile(name);
            if (!url) throw new Error('gone');
            return url;
          },
          (url, options) => upstream.download(url, options),
        );
        const { signal } = new AbortController();
        return transfer({
          source,
          sink,
          key: name,
          journal: own,
          memory,
          pace: new Pace(),
          bandwidth: undefined,
          signal,
          put: {},
        });
      });
      for (const [index, result] of (await Promise.all(watched)).entries())
        await expectStored(names[index] ?? '', result);
      expect(most).toBeLessThanOrEqual(12 * MiB);
      expect(memory.used).toBe(0);
    });
  },
);

describe('the budget', () => {
  test('serves in order, gives a too large request everything, and forgets who gave up', async () => {
    const memory = new Memory(10);
    const first = await memory.acquire(6);
    const order: string[] = [];
    const big = memory.acquire(100).then((release) => {
      order.push('big');
      return release;
    });
    const stop = new AbortController();
    const left = memory.acquire(1, stop.signal);
    const small = memory.acquire(2).then((release) => {
      order.push('small');
      return release;
    });
    stop.abort(new Error('left'));
    await expect(left).rejects.toThrow('left');
    expect(order).toEqual([]);
    first();
    first();
    (await big)();
    (await small)();
    expect(order).toEqual(['big', 'small']);
    expect(memory.used).toBe(0);
  });
});
