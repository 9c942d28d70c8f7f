import { afterAll, beforeAll, expect, test } from 'vitest';
import { backfillPlan, read, runs, status, work } from './contract.ts';
import { definition, makePlace } from './place.ts';
import type { Place } from './place.ts';

/** Stopping, going on, cancelling: an upstream whose exports never end until its clock is moved. */

let place: Place;
beforeAll(async () => {
  place = await makePlace({
    speed: 0,
    exportDuration: 60_000,
    // The clock is moved in leaps that must end nothing but exports.
    urlLifetime: 604_800,
    tokenLifetime: 604_800,
  });
  await place.configure({
    definitions: { contacts: definition({ maxExportDuration: '1h' }), other: definition() },
  });
});
afterAll(() => place[Symbol.asyncDispose]());

const range = '--from 2026-01-01 --to 2026-01-04';

test('a back-fill shows its plan, works within its time, and is continued by the same command', async () => {
  const [shown, json] = await Promise.all([
    place.run(`backfill contacts ${range} --dry-run`),
    place.run(`backfill contacts ${range} --dry-run --json`),
  ]);
  expect(shown).toEqual({
    code: 0,
    stderr: '',
    stdout: `3 windows from 2026-01-01T00:00:00Z to 2026-01-04T00:00:00Z: 3 to export, 0 to try again, 0 under way, 0 done already.

WOULD   WINDOW (UTC)
export  2026-01-01T00:00Z → 2026-01-02T00:00Z
export  2026-01-02T00:00Z → 2026-01-03T00:00Z
export  2026-01-03T00:00Z → 2026-01-04T00:00Z
`,
  });
  expect(read(backfillPlan, json.stdout)).toMatchObject({
    missing: [{ from: '2026-01-01T00:00:00.000Z' }, {}, { to: '2026-01-04T00:00:00.000Z' }],
  });
  expect(await place.sql('select * from udm_sync.runs')).toEqual([]);
  expect(place.simulator.requests).toEqual([]);

  const cut = await place.run(`backfill contacts ${range} --concurrency 2 --timeout 2s --json`);
  expect(cut.code, cut.stderr).toBe(4);
  expect(read(work, cut.stdout)).toMatchObject({ exitCode: 4, done: 0, left: 2 });

  const again = place.start(`backfill contacts ${range} --concurrency 2`);
  await expect.poll(() => place.simulator.state().jobs.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(2);
  // Exports go on as long as the clock is moved.
  const clock = setInterval(() => place.simulator.clock.advance(60_000), 100);
  const ended = await again.ended.finally(() => clearInterval(clock));
  expect(ended.code, ended.stdout + ended.stderr).toBe(0);
  expect(ended.stdout).toContain(
    '3 windows from 2026-01-01T00:00:00Z to 2026-01-04T00:00:00Z: 1 to export, 0 to try again, 2 under way, 0 done already.',
  );
  expect(ended.stdout).toMatch(/backfill: 3 of 3 windows, about 0s left/);
  expect(ended.stdout).toMatch(/\n3 windows: 3 done, 0 failed, 0 cancelled, 0 left\.\n$/);
  expect(place.simulator.state().jobs).toHaveLength(3);

  const done = await place.run(`backfill contacts ${range} --dry-run`);
  expect(done.stdout).toMatch(/: 0 to export, 0 to try again, 0 under way, 3 done already\.\n$/);
});

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s ends a run in good order, and another goes on with it',
  async (signal) => {
    const before = place.simulator.state().jobs.length;
    const running = place.start(`run ${signal === 'SIGINT' ? 'contacts' : 'other'} --json`);
    await expect.poll(() => place.simulator.state().jobs.length, { timeout: 30_000 }).toBe(before + 1);
    running.child.kill(signal);
    const ended = await running.ended;
    expect(ended.code, ended.stderr).toBe(130);
    expect(read(work, ended.stdout)).toMatchObject({ exitCode: 130, left: 1 });
  },
);

test('cancel ends a run also upstream, retry gives it another life', async () => {
  const found = read(runs, (await place.run('runs --state planned,creating,exporting --json')).stdout);
  const one = found.find((run) => run.definition === 'other');
  if (!one) throw new Error('nothing is under way');
  const told = read(status, (await place.run('status --json')).stdout);
  expect(told).toMatchObject({ verdict: 'under-way', failed: [] });

  const id = String(one.run);
  const asked = await place.run(`cancel ${id}`);
  expect(asked).toEqual({
    code: 0,
    stdout: `Run ${id} will be cancelled: a worker (or udm-sync run) cancels the upstream job and waits for its end.\n`,
    stderr: '',
  });
  const ended = await place.run('run other --json');
  expect(ended.code, ended.stderr).toBe(3);
  expect(read(work, ended.stdout)).toMatchObject({ cancelled: 1, done: 0, failed: 0, left: 0 });
  const job = place.simulator.state().jobs.at(-1);
  expect(job).toMatchObject({ live: false, runs: [{ state: 'cancelled' }] });

  expect(await place.run(`cancel ${id}`)).toEqual({
    code: 2,
    stdout: '',
    stderr: `udm-sync: Run ${id} is cancelled; there is nothing to cancel.\n`,
  });
  const again = await place.run(`retry ${id} --json`);
  expect(again).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(again.stdout)).toEqual({ run: one.run, state: 'planned' });
  const gone = await place.run(`cancel ${id} --json`);
  expect(JSON.parse(gone.stdout)).toEqual({ run: one.run, state: 'cancelled', cancelRequested: true });

  // Nothing but that window is missing, once the rest is through.
  const clock = setInterval(() => place.simulator.clock.advance(60_000), 100);
  const rest = await place.run('run').finally(() => clearInterval(clock));
  expect(rest.code, rest.stdout).toBe(0);
  expect((await place.run('status')).stdout).toMatch(
    /^Safe, but for 1 window that somebody cancelled: all others that are due are verified in the sink\.\n/,
  );
});
