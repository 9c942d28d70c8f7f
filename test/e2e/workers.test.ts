import { PutObjectCommand, CreateMultipartUploadCommand, DeleteObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { audit } from '../auditor/rules.ts';
import type { Facts } from '../auditor/facts.ts';
import type { Running } from './processes.ts';
import { first, plants } from '../auditor/plants.ts';
import type { Mutable } from '../auditor/plants.ts';
import { lastWindows, startWorld } from './world.ts';
import type { World } from './world.ts';

const minute = 60_000;
const schedule = { cron: '0 0 1 1 *' };
const contacts = lastWindows('contacts', 60 * minute, 10);
const interactions = lastWindows('interactions', 1440 * minute, 10);
const workitems = lastWindows('workitems', 15 * minute, 10);
const expected = [contacts.expectation, interactions.expectation, workitems.expectation];

let world: World;
let facts: Facts;
beforeAll(async () => {
  world = await startWorld();
});
let told = false;
afterEach(({ task }) => {
  if (task.result?.state === 'fail' && !told) console.log(world.said());
  told ||= task.result?.state === 'fail';
});
afterAll(() => (world as World | undefined)?.stop());

/** What goes wrong on the way: each of these the program has to get over by itself. Some files are empty, so a few are cut. */
const faults = [
  { endpoint: 'POST /v10/export/jobs', kind: 'lost-answer', nth: 2 },
  { endpoint: 'POST /v10/export/jobs', kind: 'job-fails', nth: 5 },
  { endpoint: 'POST /v10/export/jobs', kind: 'job-vanishes', nth: 9 },
  { endpoint: 'GET /v10/export/history', kind: 'status', status: 503, nth: 3, times: 4 },
  { endpoint: 'GET /v10/export/history', kind: 'token-revoked', nth: 12 },
  { endpoint: 'GET /v10/file-metadatas', kind: 'html', nth: 4 },
  { endpoint: 'GET /v10/file-metadatas', kind: 'duplicate-page', nth: 7, times: 2 },
  { endpoint: 'GET /v10/files/{filename}', kind: 'expired-url', nth: 4 },
  { endpoint: 'GET /s3/{filename}', kind: 'reset-mid-body', nth: 6, times: 3 },
  { endpoint: 'GET /s3/{filename}', kind: 'truncate', nth: 12, times: 3 },
  { endpoint: 'GET /s3/{filename}', kind: 'truncate-chunked', nth: 18, times: 3 },
  { endpoint: 'DELETE /v10/files', kind: 'partial-delete', nth: 2 },
  { endpoint: 'DELETE /v10/files', kind: 'lost-answer', nth: 4 },
  { endpoint: 'DELETE /v10/files', kind: 'status', status: 503, nth: 6 },
];

test('two workers export 30 windows of three definitions, and one of them is killed in a transfer', async () => {
  const config = await world.configure({
    contacts: { schedule, windows: contacts.windows },
    interactions: {
      type: 'interactions',
      schedule,
      windows: interactions.windows,
      fileSplitSize: '1024',
      delete: 'files-and-job',
    },
    workitems: { source: 'iWD', type: 'interactions', schedule, windows: workitems.windows },
  });
  for (const fault of faults) await world.upstream.tell('faults', fault);

  // The second part of the first large file never arrives: its worker is killed while it waits.
  const held = Promise.withResolvers<string>();
  const release = Promise.withResolvers<undefined>();
  let once = false;
  world.s3Proxy.intervene = (request) => {
    if (once || request.operation !== 'UploadPart' || request.query.get('partNumber') !== '2') return;
    once = true;
    held.resolve(request.path);
    return release.promise;
  };

  const workers = new Map<number, Running>();
  const startWorker = () => {
    const worker = world.start(config, 'worker');
    workers.set(worker.pid, worker);
  };
  startWorker();
  startWorker();
  const path = await Promise.race([held.promise, ...[...workers.values()].map((each) => each.ended)]);
  if (typeof path !== 'string') throw new Error('a worker has ended');
  const { id, pid } = await world.row<{ id: string; pid: string }>(
    `select f.id, split_part(h.who, '/', 2) as pid from udm_sync.files f
     join udm_sync.history h on h.file_id = f.id and h.to_state = 'transferring'
     where f.state = 'transferring' and f.name like 'big-%' and f.name like '%' || $1 order by h.id limit 1`,
    [fileOf(path)],
  );
  const killed = workers.get(Number(pid));
  expect(killed, `one of ours holds file ${id}`).toBeDefined();
  const killedAt = performance.now();
  killed?.signal('SIGKILL');
  expect((await killed?.ended)?.code).toBeNull();
  workers.delete(Number(pid));
  startWorker();
  release.resolve(undefined);
  await world.row(`select 1 from udm_sync.files where id = $1 and verified_at is not null`, [id]);
  console.log(
    `Another worker had the file ${((performance.now() - killedAt) / 1000).toFixed(1)} s after the kill.`,
  );

  await world.row(`select 1 from udm_sync.runs where state = 'done' having count(*) = 30`);
  const status: unknown = JSON.parse((await world.run(config, 'status', '--json')).stdout);
  expect(status).toMatchObject({
    definitions: expected.map(({ definition }) => ({
      definition,
      done: 10,
      missing: 0,
      unfinished: 0,
      failed: 0,
    })),
    files: { waiting: 0, dead: 0, lost: 0 },
  });
  for (const worker of workers.values()) worker.signal('SIGTERM');
  for (const worker of workers.values()) expect((await worker.ended).code).toBe(0);
  const fired = await world.upstream.ask('faults');
  expect(fired, 'every fault has happened').toEqual(
    faults.map((rule) => expect.objectContaining({ fired: rule.times ?? 1 }) as unknown),
  );
}, 120_000);

/** The end of a name that tells it from the others; keys may be percent-encoded in a path. */
function fileOf(path: string): string {
  return /[0-9T]+Z\.smime$/.exec(path)?.[0] ?? '';
}

test('bucket, manifests, Postgres and upstream agree byte for byte, and nothing was deleted too early', async () => {
  facts = await world.facts(expected);
  expect(facts.upstreamFiles.length).toBeGreaterThanOrEqual(10 + 30 + 90);
  expect(audit(facts)).toEqual([]);
  const program = await world.auditor(expected);
  expect(program.stdout).toMatch(/^(not checked: .*\n)*0 violations; 30 runs, /);
  expect(program.code).toBe(0);
});

describe('the auditor notices', () => {
  test.each(plants)('$what', ({ plant, says }) => {
    const planted = structuredClone(facts) as Mutable<Facts>;
    plant(planted);
    expect(audit(planted)).toContainEqual(expect.stringMatching(says));
  });

  test('what is done to the bucket itself', async () => {
    const Bucket = world.bucket;
    const manifest = first(facts.objects.filter(({ key }) => key.endsWith('/_manifest.json'))).key;
    const file = first(facts.objects.filter(({ key, size }) => size > 1 && key.endsWith('.zip.smime'))).key;
    await world.s3.send(new DeleteObjectCommand({ Bucket, Key: manifest }));
    await world.s3.send(new PutObjectCommand({ Bucket, Key: file, Body: 'other bytes' }));
    await world.s3.send(new PutObjectCommand({ Bucket, Key: 'elsewhere', Body: 'x' }));
    await world.s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'exports/e2e/begun' }));
    const now = await world.facts(expected);
    expect(audit(now)).toEqual([
      `files: ${file} holds other bytes than the upstream made`,
      expect.stringMatching(/^lost: .* was deleted by us and is stored nowhere$/),
      expect.stringMatching(/^manifests: run \d+ has no manifest$/),
      'strays: elsewhere belongs to nothing',
      ...(now.unfinishedUploads === undefined
        ? []
        : ['uploads: an unfinished upload of exports/e2e/begun is left']),
    ]);
    const program = await world.auditor(expected);
    expect(program.stdout).toContain('strays: elsewhere belongs to nothing\n');
    expect(program.code).toBe(1);
  });
});
