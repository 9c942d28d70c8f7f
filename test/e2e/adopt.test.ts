import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { audit } from '../auditor/rules.ts';
import type { Adopted, Facts } from '../auditor/facts.ts';
import { plantsOfPeople } from '../auditor/plants.ts';
import type { Mutable } from '../auditor/plants.ts';
import type { Running } from './processes.ts';
import { prefix, startWorld } from './world.ts';
import type { World } from './world.ts';

/** Real workers collect what people's jobs made; one of them is killed in the middle of a file. */

const hour = 3_600_000;
const title = 'Nightly contacts';
const adopted: Adopted[] = [{ tenant: 'demo', definition: 'nightly', prefix, title }];

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

const named = z.object({ id: z.string() });

async function peoplesJob(name: string): Promise<string> {
  const body = {
    source: 'UCSX',
    type: 'contacts',
    title: name,
    timeFrame: { all: true },
    schedulerParam: { immediately: false, cron: '0 2 * * *' },
  };
  return named.parse(await world.upstream.tell('jobs', body)).id;
}

async function runs(job: string, hoursAgo: number, more: Record<string, unknown> = {}): Promise<void> {
  await world.upstream.tell('runs', {
    job,
    at: new Date(Date.now() - hoursAgo * hour).toISOString(),
    ...more,
  });
}

const faults = [
  { endpoint: 'GET /v10/export/history', kind: 'status', status: 503, nth: 2, times: 2 },
  { endpoint: 'GET /v10/export/history', kind: 'duplicate-page', nth: 6, times: 2 },
  { endpoint: 'GET /v10/file-metadatas', kind: 'html', nth: 3 },
  { endpoint: 'GET /v10/files/{filename}', kind: 'expired-url', nth: 4 },
  { endpoint: 'GET /s3/{filename}', kind: 'truncate', nth: 5, times: 3 },
  { endpoint: 'DELETE /v10/files', kind: 'lost-answer', nth: 2 },
  { endpoint: 'DELETE /v10/files', kind: 'partial-delete', nth: 4 },
];

test('two workers collect two jobs of people, and one of them is killed in a transfer', async () => {
  const config = await world.configure({ nightly: { adopt: { title, every: '1s' } } });
  for (const fault of faults) await world.upstream.tell('faults', fault);
  const jobs = [await peoplesJob(title), await peoplesJob(title)];
  for (const job of jobs) {
    for (let ago = 9; ago > 0; ago -= 1) await runs(job, 24 * ago);
    await runs(job, 3, { fails: 'failed' });
  }

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
     where f.state = 'transferring' and f.name = $1 order by h.id desc limit 1`,
    [decodeURIComponent(path.split('/').at(-1) ?? '')],
  );
  const killed = workers.get(Number(pid));
  expect(killed, `one of ours holds file ${id}`).toBeDefined();
  killed?.signal('SIGKILL');
  expect((await killed?.ended)?.code).toBeNull();
  workers.delete(Number(pid));
  startWorker();
  release.resolve(undefined);
  // Meanwhile the jobs go on, as their schedules say.
  for (const job of jobs) await runs(job, 0);

  await world.row(`select 1 from udm_sync.runs where state = 'done' having count(*) = 20`);
  for (const worker of workers.values()) worker.signal('SIGTERM');
  for (const worker of workers.values()) expect((await worker.ended).code).toBe(0);
  const fired = await world.upstream.ask('faults');
  expect(fired, 'every fault has happened').toEqual(
    faults.map((rule) => expect.objectContaining({ fired: rule.times ?? 1 }) as unknown),
  );
}, 120_000);

test('bucket, manifests, Postgres and upstream agree byte for byte, and the jobs are as people left them', async () => {
  facts = await world.facts([], adopted);
  expect(facts.upstreamFiles).toHaveLength(40);
  expect(audit(facts)).toEqual([]);
});

describe('the auditor notices', () => {
  test.each(plantsOfPeople)('$what', ({ plant, says }) => {
    const planted = structuredClone(facts) as Mutable<Facts>;
    plant(planted);
    expect(audit(planted)).toContainEqual(expect.stringMatching(says));
  });
});
