import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { audit } from '../auditor/rules.ts';
import { said } from './crash-scenario.ts';
import type { Expectation } from '../auditor/facts.ts';
import type { Running } from './processes.ts';
import { lastWindows, startWorld } from './world.ts';
import type { World } from './world.ts';

const hour = 3_600_000;
const schedule = { cron: '0 0 1 1 *' };
const expected: Expectation[] = [];

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => (world as World | undefined)?.stop());

async function define(name: string): Promise<string> {
  const { windows, expectation } = lastWindows(name, hour, 1);
  expected.push(expectation);
  return world.configure({ [name]: { windows, schedule } });
}

/** Holds every such request to the bucket until it is let go. */
function hold(which: (request: { operation: string; path: string; query: URLSearchParams }) => boolean) {
  const end = Promise.withResolvers<undefined>();
  const begun = Promise.withResolvers<undefined>();
  world.s3Proxy.intervene = (request) => {
    if (!which(request)) return;
    begun.resolve(undefined);
    return end.promise;
  };
  return {
    begun: begun.promise,
    letGo: () => {
      world.s3Proxy.intervene = () => undefined;
      end.resolve(undefined);
    },
  };
}

const claims = `from udm_sync.history h join udm_sync.runs r on r.id = h.run_id
  where r.definition = $1 and h.subject = 'file' and h.to_state = 'transferring'`;

/** The process that holds the definition's file after it was claimed so many times, and when it was claimed. */
async function holder(definition: string, times: number) {
  const { pid, at } = await world.row<{ pid: string; at: Date }>(
    `select split_part(h.who, '/', 2) as pid, h.at ${claims} order by h.id offset $2 limit 1`,
    [definition, times - 1],
  );
  return { pid: Number(pid), at };
}

test('after a kill another worker goes on within 15 s, however often that happens', async () => {
  const config = await define('taken');
  const { letGo } = hold(({ operation, path }) => operation === 'PutObject' && path.includes('taken'));
  const workers = new Map<number, Running>();
  const add = async () => {
    const worker = world.start(config, 'worker');
    workers.set(worker.pid, worker);
    await said(worker, 'worker is running');
  };
  await add();
  await add();
  const kills = 4;
  const seconds: number[] = [];
  for (let times = 1; times <= kills; times += 1) {
    const { pid } = await holder('taken', times);
    const [kill] = await world.sql<{ at: Date }>('select clock_timestamp() as at');
    workers.get(pid)?.signal('SIGKILL');
    workers.delete(pid);
    await add();
    const next = await holder('taken', times + 1);
    expect(next.pid).not.toBe(pid);
    seconds.push((next.at.getTime() - (kill?.at.getTime() ?? 0)) / 1000);
  }
  console.log(
    `Another worker went on ${seconds.map((each) => each.toFixed(1)).join(', ')} s after each kill.`,
  );
  letGo();
  await world.row(`select 1 from udm_sync.runs where definition = 'taken' and state = 'done'`);
  for (const worker of workers.values()) worker.signal('SIGTERM');
  for (const worker of workers.values()) expect((await worker.ended).code).toBe(0);
  // 15 on a machine that has time for it.
  expect(Math.max(...seconds)).toBeLessThan(25);
  const attempts = await world.sql(
    `select f.attempts, r.step_failures from udm_sync.files f join udm_sync.runs r on r.id = f.run_id
     where r.definition = 'taken'`,
  );
  expect(attempts, 'no kill counts as an attempt').toEqual([{ attempts: 1, step_failures: 0 }]);
}, 240_000);

const requestLog = z.array(
  z.object({ path: z.string(), range: z.string().optional(), bytesSent: z.number() }),
);

/** The ranges of the definition's file that the origin was asked for so far. */
async function rangesRead(definition: string): Promise<string[]> {
  const log = requestLog.parse(await world.upstream.ask('log'));
  return log
    .filter(({ path }) => path.startsWith('/s3/') && path.includes(definition))
    .map(({ range }) => range ?? 'whole');
}

test('a worker told to stop in a large file leaves its parts, and the next reads only those that are missing', async () => {
  const config = await define('long');
  // Of five parts the last two never arrive.
  const { letGo } = hold(
    ({ operation, query }) => operation === 'UploadPart' && Number(query.get('partNumber')) > 3,
  );
  const first = world.start(config, 'worker');
  await world.row('select 1 from udm_sync.parts having count(*) = 3');
  const before = await rangesRead('long');
  const toldAt = performance.now();
  first.signal('SIGTERM');
  expect((await first.ended).code, first.said()).toBe(0);
  const stoppedAfter = (performance.now() - toldAt) / 1000;
  letGo();
  // Given back as if nobody had tried: not counted, not held, and with its parts.
  expect(
    await world.sql(
      `select f.state, f.attempts, f.holdups, f.claim, r.step_failures, r.failures,
         (select count(*)::int from udm_sync.parts) as parts
       from udm_sync.files f join udm_sync.runs r on r.id = f.run_id where r.definition = 'long'`,
    ),
  ).toEqual([
    { state: 'waiting', attempts: 0, holdups: 0, claim: null, step_failures: 0, failures: 0, parts: 3 },
  ]);

  const second = world.start(config, 'worker');
  await world.row(`select 1 from udm_sync.runs where definition = 'long' and state = 'done'`);
  second.signal('SIGTERM');
  expect((await second.ended).code).toBe(0);
  console.log(`It ended ${stoppedAfter.toFixed(1)} s after it was told to, with a grace of 2 s.`);
  const MiB = 1024 * 1024;
  const read = (await rangesRead('long')).slice(before.length);
  expect(read.sort()).toEqual([`bytes=${15 * MiB}-${20 * MiB - 1}`, `bytes=${20 * MiB}-${22 * MiB - 1}`]);
  expect(
    await world.sql(
      `select f.attempts from udm_sync.files f join udm_sync.runs r on r.id = f.run_id where r.definition = 'long'`,
    ),
  ).toEqual([{ attempts: 1 }]);
}, 120_000);

test('the auditor has nothing to complain about', async () => {
  expect(audit(await world.facts(expected))).toEqual([]);
});
