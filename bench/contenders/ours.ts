/**
 * udm-sync without Postgres: its downloader, its engine and its S3 sink as the worker wires them, with the defaults of
 * both, and the proof at the end. After the errand come the number of files, all transferred at once under keys with a
 * number, `worker.memory` in bytes or `usual`, and the sink's `signPayload`.
 */
import { totalmem } from 'node:os';
import { createLogger } from '../../src/log.ts';
import { createS3Sink } from '../../src/sinks/s3.ts';
import { proveStored } from '../../src/sinks/verify.ts';
import { intoLanes, usualMemory } from '../../src/transfer/memory.ts';
import { Pace } from '../../src/transfer/pace.ts';
import { Source } from '../../src/transfer/source.ts';
import { transfer } from '../../src/transfer/transfer.ts';
import { createUdmClient } from '../../src/udm/client.ts';
import { readErrand, reportReady } from './client.ts';
import { createMemoryJournal } from './memory-journal.ts';

const { errand, more } = readErrand();
const [files = '1', memoryBytes = 'usual', signing] = more;
const { url, size, endpoint, bucket, key, region, accessKeyId, secretAccessKey } = errand;
const upstream = createUdmClient({
  tenant: 'bench',
  // Never called: the URLs are known.
  baseUrl: 'http://127.0.0.1',
  apiKey: 'none',
  auth: { grant: 'token', token: 'none' },
  logger: createLogger('silent'),
});
const credentials = { accessKeyId, secretAccessKey };
const signPayload = signing === 'never' ? signing : 'auto';
const sink = createS3Sink('bench', {
  bucket,
  endpoint,
  region,
  forcePathStyle: true,
  credentials,
  signPayload,
});
const memory = intoLanes(memoryBytes === 'usual' ? usualMemory(totalmem()) : Number(memoryBytes)).large;
const pace = new Pace();
const bandwidth = undefined;
const { signal } = new AbortController();

async function bring(name: string): Promise<void> {
  const source = new Source(
    () => Promise.resolve({ secret: url, toString: () => name }),
    (presigned, options) => upstream.download(presigned, options),
  );
  const put = { contentType: 'application/octet-stream' };
  const journal = createMemoryJournal();
  const brought = await transfer({
    source,
    sink,
    key: name,
    journal,
    memory,
    pace,
    bandwidth,
    signal,
    put,
    announcedSize: size,
  });
  await proveStored(sink, name, { bytes: brought.bytes, crc32: brought.crc32 }, 'head', signal);
}

reportReady();
const count = Number(files);
const names = count === 1 ? [key] : Array.from({ length: count }, (_, index) => `${key}-${index}`);
await Promise.all(names.map(bring));
upstream.close();
sink.close();
