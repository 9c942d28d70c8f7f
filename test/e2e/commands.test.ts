import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { audit } from '../auditor/rules.ts';
import type { Expectation } from '../auditor/facts.ts';
import { lastWindows, startWorld } from './world.ts';
import type { Running } from './processes.ts';
import type { World } from './world.ts';

const hour = 3_600_000;
const schedule = { cron: '0 0 1 1 *' };
/** Of the definitions whose files have to be safe when all is over. */
const expected: Expectation[] = [];

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
let told = 0;
afterEach(({ task }) => {
  const said = world.said();
  if (task.result?.state === 'fail') console.log(said.slice(told));
  told = said.length;
});
afterAll(() => (world as World | undefined)?.stop());

/** A config with one definition of so many hourly windows, which the audit at the end includes. */
async function define(name: string, count: number, settings: Record<string, unknown> = {}): Promise<string> {
  const { windows, expectation } = lastWindows(name, hour, count);
  expected.push(expectation);
  return world.configure({ [name]: { windows, ...settings } });
}

const work = z.object({
  exitCode: z.number(),
  done: z.number(),
  failed: z.number(),
  left: z.number(),
  runs: z.array(z.object({ run: z.number(), state: z.string() })),
});
const upstreamJobs = z.object({
  jobs: z.array(
    z.object({
      title: z.string(),
      live: z.boolean(),
      runs: z.array(z.object({ state: z.string() })),
    }),
  ),
});

/** The jobs a definition ever had upstream. */
async function jobsOf(definition: string) {
  const { jobs } = upstreamJobs.parse(await world.upstream.ask('state'));
  return jobs.filter(({ title }) => title.includes(`udm-sync ${definition} `));
}

/** How many requests upstream has seen that make or delete something. */
async function changes(): Promise<number> {
  const log = z
    .array(z.object({ method: z.string(), path: z.string() }))
    .parse(await world.upstream.ask('log'));
  return log.filter(({ method, path }) => method !== 'GET' && !path.endsWith('/token')).length;
}

/** Holds the first PUT into the bucket of a file with this in its key, until it is let go. */
function hold(part: string): { readonly begun: Promise<void>; readonly letGo: () => void } {
  const begun = Promise.withResolvers<undefined>();
  const end = Promise.withResolvers<undefined>();
  world.s3Proxy.intervene = ({ operation, path }) => {
    if (operation !== 'PutObject' || !path.includes(part) || path.endsWith('.json')) return;
    begun.resolve(undefined);
    return end.promise;
  };
  return { begun: begun.promise, letGo: () => end.resolve(undefined) };
}

test('doctor finds everything in order', async () => {
  const config = await world.configure({ checked: { type: 'Contacts' } });
  const { code, stdout } = await world.run(config, 'doctor', '--json');
  expect(JSON.parse(stdout)).toMatchObject({ ok: true });
  expect(code).toBe(0);
});

test('run does what is due and exits 0; a second one finds nothing to do', async () => {
  const config = await define('nightly', 3);
  const firstTime = await world.run(config, 'run', '--json');
  expect(work.parse(JSON.parse(firstTime.stdout))).toMatchObject({ done: 3, failed: 0, left: 0 });
  expect(firstTime.code).toBe(0);

  const before = await changes();
  const again = await world.run(config, 'run', '--json');
  expect(work.parse(JSON.parse(again.stdout)).runs).toEqual([]);
  expect(again.code).toBe(0);
  expect(await changes()).toBe(before);
});

test('backfill shows what it would do, stops for SIGTERM with 130, and goes on where it was', async () => {
  const { windows, expectation } = lastWindows('archive', hour, 6);
  expected.push(expectation);
  const { length, lag } = windows;
  const config = await world.configure({ archive: { windows: { length, lag } } });
  const { from, to } = expectation;
  const backfill = ['backfill', 'archive', '--from', from.toISOString(), '--to', to.toISOString()];

  const before = await changes();
  const dry = await world.run(config, ...backfill, '--dry-run', '--json');
  expect(dry.code).toBe(0);
  expect(JSON.parse(dry.stdout)).toMatchObject({
    missing: Array.from({ length: 6 }, (_, i) => ({
      from: new Date(from.getTime() + i * hour).toISOString(),
    })),
  });
  expect(await world.sql(`select 1 from udm_sync.runs where definition = 'archive'`)).toEqual([]);
  expect(await changes()).toBe(before);

  // The first window is never stored, so the work cannot be over before the signal.
  const { begun, letGo } = hold('archive');
  const interrupted = world.start(config, ...backfill, '--concurrency', '2');
  await begun;
  interrupted.signal('SIGTERM');
  expect((await interrupted.ended).code).toBe(130);
  letGo();
  expect(
    (await world.sql(`select 1 from udm_sync.runs where definition = 'archive' and state = 'done'`)).length,
  ).toBeLessThan(6);

  const resumed = await world.run(config, ...backfill, '--json');
  expect(resumed.code).toBe(0);
  expect(
    await world.sql(`select 1 from udm_sync.runs where definition = 'archive' and state = 'done'`),
  ).toHaveLength(6);
  expect(await jobsOf('archive')).toHaveLength(6);
});

test('run --timeout exits 4 with work left, and a later run finishes it', async () => {
  const config = await define('slow', 2);
  await world.upstream.tell('clock', { speed: 0 });
  const timedOut = await world.run(config, 'run', '--timeout', '2s', '--json');
  expect(work.parse(JSON.parse(timedOut.stdout))).toMatchObject({ done: 0, failed: 0, left: 2 });
  expect(timedOut.code).toBe(4);

  await world.upstream.tell('clock', { speed: 60 });
  const later = await world.run(config, 'run', '--json');
  expect(work.parse(JSON.parse(later.stdout))).toMatchObject({ done: 2, left: 0 });
  expect(later.code).toBe(0);
  expect((await jobsOf('slow')).length).toBeLessThanOrEqual(2);
});

test('cancel ends a running export upstream too, and retry exports the window anew', async () => {
  const config = await define('unwanted', 1, { schedule });
  await world.upstream.tell('clock', { speed: 0 });
  const worker = world.start(config, 'worker');
  const { id } = await world.row<{ id: string }>(
    `select id from udm_sync.runs where definition = 'unwanted' and state = 'exporting'`,
  );
  expect((await world.run(config, 'cancel', id)).code).toBe(0);
  await world.row(`select 1 from udm_sync.runs where id = $1 and state = 'cancelled'`, [id]);
  expect(await jobsOf('unwanted')).toMatchObject([{ live: false, runs: [{ state: 'cancelled' }] }]);
  worker.signal('SIGTERM');
  expect((await worker.ended).code).toBe(0);

  await world.upstream.tell('clock', { speed: 60 });
  expect((await world.run(config, 'retry', id)).code).toBe(0);
  expect((await world.run(config, 'run')).code).toBe(0);
  expect(await world.sql('select state, attempt from udm_sync.runs where id = $1', [id])).toEqual([
    { state: 'done', attempt: 2 },
  ]);
});

test('run exits 3 when a window has failed, and retry mends it', async () => {
  const config = await define('broken', 1, { retry: { attempts: 2, minDelay: '100ms', maxDelay: '200ms' } });
  await world.upstream.tell('faults', { endpoint: 'POST /v10/export/jobs', kind: 'job-fails', times: 2 });
  const failing = await world.run(config, 'run', '--json');
  expect(failing.code).toBe(3);
  const { runs } = work.parse(JSON.parse(failing.stdout));
  expect(runs).toMatchObject([{ state: 'failed' }]);
  const id = String(runs[0]?.run);

  expect((await world.run(config, 'retry', id)).code).toBe(0);
  expect((await world.run(config, 'run')).code).toBe(0);
  expect(await jobsOf('broken')).toHaveLength(3);
});

/** Starts two workers on a definition, and waits until one of them holds a transfer whose first file is stuck. */
async function stuckTransfer(definition: string, config: string) {
  const { begun, letGo } = hold(definition);
  const workers = [world.start(config, 'worker'), world.start(config, 'worker')];
  await begun;
  const { pid } = await world.row<{ pid: string }>(
    `select split_part(h.who, '/', 2) as pid from udm_sync.history h join udm_sync.runs r on r.id = h.run_id
     where r.definition = $1 and h.subject = 'file' and h.to_state = 'transferring'`,
    [definition],
  );
  const [holder] = workers.filter((worker) => String(worker.pid) === pid);
  const [other] = workers.filter((worker) => worker !== holder);
  if (!holder || !other) throw new Error(`the process ${pid} is none of ours`);
  return { holder, other, letGo };
}

async function finishBy(worker: Running, definition: string) {
  await world.row(`select 1 from udm_sync.runs where definition = $1 and state = 'done'`, [definition]);
  worker.signal('SIGTERM');
  expect((await worker.ended).code).toBe(0);
  const attempts = await world.sql(
    `select distinct f.attempts from udm_sync.files f join udm_sync.runs r on r.id = f.run_id where r.definition = $1`,
    [definition],
  );
  expect(attempts, 'no attempt was used up').toEqual([{ attempts: 1 }]);
}

test('a worker told to stop exits 0 when its grace is over, and another takes its transfer up', async () => {
  const config = await define('handover', 1, { schedule });
  const { holder, other, letGo } = await stuckTransfer('handover', config);
  const toldAt = performance.now();
  const after = () => `${((performance.now() - toldAt) / 1000).toFixed(1)} s`;
  holder.signal('SIGTERM');
  expect((await holder.ended).code).toBe(0);
  console.log(`The worker that was told to stop has ended after ${after()}, with a grace of 2 s.`);
  // Only now: it did not wait for the transfer.
  letGo();
  await finishBy(other, 'handover');
  console.log(`The other one had finished after ${after()}.`);
});

test('a worker told to stop finishes the files it is at and gives back the others', async () => {
  const config = await define('shared', 1, { schedule, source: 'iWD', type: 'interactions' });
  const { holder, other, letGo } = await stuckTransfer('shared', config);
  holder.signal('SIGTERM');
  await expect.poll(() => holder.said(), { timeout: 10_000 }).toContain('stopping');
  letGo();
  expect((await holder.ended).code).toBe(0);
  await finishBy(other, 'shared');
  const moves = await world.sql<{ file: number; to: string; ours: boolean }>(
    `select h.file_id as file, h.to_state as to, split_part(h.who, '/', 2) = $1 as ours
     from udm_sync.history h join udm_sync.runs r on r.id = h.run_id
     where r.definition = 'shared' and h.subject = 'file' and h.from_state = 'transferring' order by h.id`,
    [String(holder.pid)],
  );
  const files = (to: string, ours: boolean) =>
    moves.filter((move) => move.to === to && move.ours === ours).map((move) => move.file);
  expect(files('verified', true), 'finished').not.toEqual([]);
  expect(files('waiting', true), 'given back').not.toEqual([]);
  expect(files('verified', false)).toEqual(expect.arrayContaining(files('waiting', true)));
});

test('after all this, everything made upstream is stored once, and nothing was deleted too early', async () => {
  expect(audit(await world.facts(expected))).toEqual([]);
});

test('a name that no request can carry fails its run in words, and nothing of the run is deleted', async () => {
  const { windows } = lastWindows('dotted', hour, 1);
  const retry = { attempts: 2, minDelay: '100ms', maxDelay: '200ms' };
  const config = await world.configure({ dotted: { windows, retry } });
  const { code, stdout } = await world.run(config, 'run', '--json');
  expect(code).toBe(3);
  const [run] = work.parse(JSON.parse(stdout)).runs;
  const story: unknown = JSON.parse(
    (await world.run(config, 'run-history', String(run?.run), '--json')).stdout,
  );
  expect(story).toMatchObject({
    state: 'failed',
    files: [
      { state: 'dead', reason: expect.stringContaining('cannot be sent to the upstream') as unknown },
      { state: 'verified' },
    ],
  });
  const upstream = z.object({
    files: z.array(z.object({ name: z.string(), deletedAt: z.string().optional() })),
  });
  const { files } = upstream.parse(await world.upstream.ask('state'));
  expect(files.filter(({ name }) => name.includes('dotted')).map(({ deletedAt }) => deletedAt)).toEqual([
    undefined,
    undefined,
  ]);
});
