import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { audit } from '../auditor/rules.ts';
import { lastWindows, startWorld } from './world.ts';
import type { World } from './world.ts';

const hour = 3_600_000;
const schedule = { cron: '0 0 1 1 *' };

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => (world as World | undefined)?.stop());

const upstreamFiles = z.object({
  files: z.array(z.object({ name: z.string(), deletedAt: z.string().optional() })),
});

test('a file that always fails dies alone, and lives again when its cause is gone', async () => {
  const poisoned = lastWindows('poisoned', hour, 1);
  const beside = lastWindows('beside', hour, 3);
  const config = await world.configure({
    poisoned: {
      schedule,
      windows: poisoned.windows,
      source: 'iWD',
      type: 'interactions',
      retry: { attempts: 3, minDelay: '200ms', maxDelay: '500ms' },
    },
    beside: { schedule, windows: beside.windows },
  });
  // One of ten files in one batch: the storage says no whenever it is asked for.
  const bad = 'one, two,three poisoned';
  await world.upstream.tell('faults', { endpoint: `/GET /s3/${bad}/`, kind: 'status', status: 403 });
  const worker = world.start(config, 'worker');
  const { id, reason } = await world.row<{ id: string; reason: string }>(
    `select id, reason from udm_sync.runs where definition = 'poisoned' and state = 'failed'`,
  );
  expect(reason).toMatch(
    /^1 of 1\d files could not be stored \(1 dead, 0 lost\), the first: "one, two,three/,
  );
  const states = await world.sql(
    `select state, attempts, reason is not null and state = 'dead' as told, count(*)::int > 5 as many
     from udm_sync.files where run_id = $1 group by 1, 2, 3 order by 1`,
    [id],
  );
  expect(states).toEqual([
    { state: 'dead', attempts: 3, told: true, many: false },
    { state: 'verified', attempts: 1, told: false, many: true },
  ]);
  // Each failure on the way is in the history, with its reason.
  expect(
    await world.sql(
      `select to_state, count(*)::int as n, bool_and(h.reason <> '') as told from udm_sync.history h
       join udm_sync.files f on f.id = h.file_id and f.state = 'dead'
       where h.from_state = 'transferring' group by 1 order by 1`,
    ),
  ).toEqual([
    { to_state: 'dead', n: 1, told: true },
    { to_state: 'waiting', n: 2, told: true },
  ]);
  await world.row(
    `select 1 from udm_sync.runs where definition = 'beside' and state = 'done' having count(*) = 3`,
  );

  // What was verified stays upstream too, for as long as the window is not complete.
  const { files } = upstreamFiles.parse(await world.upstream.ask('state'));
  const ofRun = files.filter(({ name }) => name.includes('poisoned'));
  expect(ofRun.length).toBeGreaterThan(8);
  expect(ofRun.filter(({ deletedAt }) => deletedAt !== undefined)).toEqual([]);
  expect((await world.facts([])).objects.filter(({ key }) => /poisoned.*_manifest/.test(key))).toEqual([]);

  await world.upstream.calm();
  expect((await world.run(config, 'retry', id)).code).toBe(0);
  await world.row(`select 1 from udm_sync.runs where id = $1 and state = 'done'`, [id]);
  worker.signal('SIGTERM');
  expect((await worker.ended).code).toBe(0);
  const again = await world.sql(
    `select attempts, count(*)::int > 5 as many from udm_sync.files where run_id = $1 group by 1`,
    [id],
  );
  expect(again, 'only the dead one was copied again').toEqual([{ attempts: 1, many: true }]);
  expect(audit(await world.facts([poisoned.expectation, beside.expectation]))).toEqual([]);
}, 120_000);
