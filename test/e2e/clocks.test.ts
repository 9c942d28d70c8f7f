import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { audit } from '../auditor/rules.ts';
import { lastWindows, startWorld } from './world.ts';
import type { World } from './world.ts';

const preload = join(import.meta.dirname, 'wrong-clock.ts');
const minute = 60_000;
const hour = 60 * minute;

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => (world as World | undefined)?.stop());

/** Starts workers with clocks that are off by so many ms, and jump when they get SIGUSR2. */
async function workersWith(config: string, clocks: readonly { off: number; jumps?: readonly number[] }[]) {
  const workers = clocks.map(({ off, jumps = [] }) =>
    world.startWith(
      preload,
      { UDM_SYNC_TEST_CLOCK_OFF: String(off), UDM_SYNC_TEST_CLOCK_JUMPS: jumps.join(',') },
      config,
      'worker',
    ),
  );
  for (const worker of workers)
    await vi.waitFor(() => expect(worker.said()).toContain('worker is running'), { timeout: 60_000 });
  return workers;
}

const logLine = z.object({ time: z.string() });
/** How far the process's own clock was off when it wrote its first line, in ms. */
function saidOffset(said: string): number {
  const [first = '{}'] = said.split('\n').filter((line) => line.startsWith('{'));
  return Date.parse(logLine.parse(JSON.parse(first)).time) - Date.now();
}

test('replicas whose clocks are minutes apart, and jump by hours, plan each window once and do no harm', async () => {
  // Windows that a clock ahead by an hour would take to be complete too soon.
  const near = lastWindows('near', 15 * minute, 6);
  const far = lastWindows('far', hour, 4);
  const large = lastWindows('large', hour, 1);
  // Nothing but the clock of Postgres holds them back.
  const eager = { catchUp: 100 };
  const expected = [near, far, large].map(({ expectation }) => expectation);
  // Each worker's own cron asks every second what is due.
  const schedule = { cron: '* * * * * *' };
  const config = await world.configure({
    near: { schedule, windows: { ...near.windows, ...eager }, delete: 'files-and-job' },
    far: { schedule, windows: { ...far.windows, ...eager } },
    large: { schedule, windows: { ...large.windows, ...eager } },
  });
  const workers = await workersWith(config, [
    { off: 7 * minute, jumps: [hour, -hour] },
    { off: -7 * minute, jumps: [-hour, hour] },
  ]);
  const [ahead, behind] = workers;
  expect(saidOffset(ahead?.said() ?? '')).toBeGreaterThan(5 * minute);
  expect(saidOffset(behind?.said() ?? '')).toBeLessThan(-5 * minute);

  const fired = () => workers.map((worker) => worker.said().split('schedule fired').length);
  const jump = async () => {
    workers.forEach((worker) => worker.signal('SIGUSR2'));
    // Until one of them has looked, with its new clock, what is due: each minute at the latest, whatever cron makes of it.
    const before = fired().map((times) => times + 3);
    await vi.waitFor(() => expect(fired().some((times, at) => times >= (before[at] ?? 0))).toBe(true), {
      timeout: 90_000,
    });
  };
  await world.row(`select 1 from udm_sync.exports where state = 'created'`);
  await jump();
  await world.row(`select 1 from udm_sync.files where state = 'verified'`);
  await jump();
  await world.row(`select 1 from udm_sync.runs where state = 'done' having count(*) = 11`);

  // Everything is told by one clock.
  const retimed = await world.sql<{ n: number }>(
    `select count(*)::int as n from udm_sync.history where abs(extract(epoch from at - now())) > 300`,
  );
  expect(retimed).toEqual([{ n: 0 }]);
  for (const worker of workers) worker.signal('SIGTERM');
  for (const worker of workers) expect((await worker.ended).code, worker.said()).toBe(0);
  expect(audit(await world.facts(expected))).toEqual([]);
}, 300_000);

test('when a step is due is told by the clock of Postgres', async () => {
  const { windows, expectation } = lastWindows('waiting', hour, 1);
  const config = await world.configure({
    waiting: { schedule: { cron: '0 0 1 1 *' }, windows, retry: { minDelay: '50s', maxDelay: '50s' } },
  });
  await world.upstream.tell('faults', { endpoint: 'POST /v10/export/jobs', kind: 'status', status: 403 });
  const [worker] = await workersWith(config, [{ off: -hour }]);
  const { due } = await world.row<{ due: number }>(
    `select extract(epoch from next_step_at - now())::float8 as due
     from udm_sync.runs where definition = 'waiting' and step_failures = 1`,
  );
  expect(due).toBeGreaterThan(0);
  expect(due).toBeLessThan(51);
  await world.upstream.calm();
  worker?.signal('SIGTERM');
  await worker?.ended;
  await world.sql(
    `update udm_sync_queue.job set start_after = now() where name = 'step' and state < 'active'`,
  );
  expect((await world.run(config, 'run')).code).toBe(0);
  expect(audit(await world.facts([expectation])).filter((what) => what.includes('waiting'))).toEqual([]);
}, 120_000);
