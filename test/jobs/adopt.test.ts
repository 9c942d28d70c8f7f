import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { adoptEntries, adopts, isAdopted, outcomeOf } from '../../src/jobs/adopt.ts';
import { deletionOf } from '../../src/jobs/adopted.ts';
import { newMarker } from '../../src/jobs/marker.ts';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { requestCancel, reviveRun } from '../../src/jobs/revive.ts';
import { findAdoption } from '../../src/store/adoptions.ts';
import { filesOfRun } from '../../src/store/files.ts';
import { listRuns } from '../../src/store/runs.ts';
import type { Run } from '../../src/store/runs.ts';
import type { Simulator } from '../../simulator/server.ts';
import { harnessForEachTest } from './harness.ts';
import type { Harness } from './harness.ts';

const harnesses = harnessForEachTest();
const hour = 3_600_000;
const day = 24 * hour;
const adopt = { title: 'Nightly contacts', every: '1s' };

/** A job as people schedule one. */
function peoplesJob(
  simulator: Simulator,
  title = 'Nightly contacts',
  more: Record<string, unknown> = {},
): string {
  const job = simulator.addJob({
    source: 'UCSX',
    type: 'contacts',
    title,
    timeFrame: { all: true },
    schedulerParam: { immediately: false, cron: '0 2 * * *' },
    ...more,
  });
  if (typeof job !== 'string') throw new Error(job.problem);
  return job;
}

/** The id of a history entry that the job makes, so long before now. */
function runs(simulator: Simulator, job: string, agoMs: number, fails?: 'failed' | 'cancelled'): string {
  const at = new Date(simulator.clock.now() - agoMs);
  const entry = simulator.runJob(job, fails ? { at, fails } : { at });
  if (entry === undefined) throw new Error('there is no such job');
  return entry;
}

const runsOf = (pipeline: OpenPipeline): Promise<Run[]> => listRuns(pipeline.db, { limit: 1000 });

/** The run of each entry once there are exactly these, all in one of the states. */
async function settled(
  pipeline: OpenPipeline,
  entries: readonly string[],
  ...states: Run['state'][]
): Promise<Run[]> {
  let found: Run[] = [];
  await expect
    .poll(
      async () => {
        found = await runsOf(pipeline);
        return found
          .map(
            (run) =>
              `${run.adoptedEntry} ${states.includes(run.state) ? 'there' : `${run.state}: ${run.reason}`}`,
          )
          .sort();
      },
      { timeout: 30_000, interval: 50 },
    )
    .toEqual(entries.map((entry) => `${entry} there`).sort());
  return entries.map((entry) => found.find((run) => run.adoptedEntry === entry) ?? never());
}

/** Waits until a definition has been looked at so many times more, by listings of the history that were answered. */
async function looks(harness: Harness, times: number): Promise<void> {
  const seen = () => harness.requests(/^GET \/v10\/export\/history$/).length;
  const before = seen();
  await expect.poll(() => seen() - before, { timeout: 30_000 }).toBeGreaterThanOrEqual(times);
}

function never(): never {
  throw new Error('unreachable');
}

/** Whatever was done to jobs: all of it would have been done by us. */
const toJobs = (harness: Harness) => harness.requests(/^(POST|PUT|DELETE) \/v10\/export\/jobs/);

const manifest = z.object({
  run: z.number(),
  upstream: z.object({ jobId: z.string(), historyId: z.string(), marker: z.null() }),
  adopted: z.object({ title: z.string(), createdAt: z.string() }),
  files: z.array(z.object({ name: z.string(), key: z.string(), size: z.number(), crc32: z.string() })),
});

test('every finished entry of a scheduled job is collected, verified and cleaned up; the job and its history stay', async () => {
  const { harness, simulator, pipeline } = await harnesses.begin({ definitions: { nightly: { adopt } } });
  const job = peoplesJob(simulator);
  // Two of one time: their keys must not meet.
  const ago = simulator.clock.now();
  const twins = [1, 2].map(() => simulator.runJob(job, { at: new Date(ago - 2 * day) }) ?? never());
  const older = [...twins, runs(simulator, job, day)];
  await settled(pipeline, older, 'done');
  const newest = runs(simulator, job, 0);
  const done = await settled(pipeline, [...older, newest], 'done');

  const keys = new Set<string>();
  for (const run of done) {
    const files = await filesOfRun(pipeline.db, run.id);
    expect(files.length).toBeGreaterThan(0);
    expect(files.every((file) => file.state === 'deleted' && file.proof !== null)).toBe(true);
    for (const file of files) {
      keys.add(file.key);
      const stored = await readFile(join(harness.folder, file.key));
      const truth = await simulator.fileDigest(file.name);
      expect({ size: stored.length, crc32: file.crc32 }).toEqual({ size: truth?.size, crc32: truth?.crc32 });
    }
    const written = manifest.parse(
      JSON.parse(await readFile(join(harness.folder, run.manifestKey ?? ''), 'utf8')),
    );
    expect(written).toMatchObject({
      run: run.id,
      upstream: { jobId: job, historyId: run.adoptedEntry },
      adopted: { title: 'Nightly contacts', createdAt: run.windowFrom.toISOString() },
      files: files.map(({ name, key }) => ({ name, key })),
    });
    expect(run.manifestKey).toContain(`_${run.adoptedEntry}/`);
  }
  const made = simulator.state().files;
  expect(keys.size).toBe(made.length);
  expect(made.every((file) => file.deletedBy === 'client')).toBe(true);
  const [left] = simulator.state().jobs;
  expect(left).toMatchObject({ id: job, deletedAt: undefined });
  expect(left?.runs.every((run) => run.deletedAt === undefined)).toBe(true);
  expect(toJobs(harness)).toEqual([]);
});

test('two replicas and a restart collect no entry twice', async () => {
  const { harness, simulator, pipeline, worker } = await harnesses.begin({
    definitions: { nightly: { adopt } },
  });
  const job = peoplesJob(simulator);
  await harness.worker();
  const entries = Array.from({ length: 12 }, (_, index) => runs(simulator, job, (index + 1) * hour));
  const observer = await harness.pipeline();
  const definition = Object.values(harness.config.definitions).find(adopts) ?? never();
  const { signal } = new AbortController();
  // Whatever was noted of the next look, many look at once.
  await Promise.all(
    [pipeline, observer, pipeline, observer].map((each) =>
      adoptEntries(each, definition, { now: true, signal, told: new Set() }),
    ),
  );
  await settled(observer, entries, 'done');
  await worker.stop();
  await harness.worker();
  await looks(harness, 3);
  await settled(observer, entries, 'done');
  const located = harness.requests(/^GET \/v10\/files\//);
  expect(new Set(located).size).toBe(located.length);
});

test('an entry in progress is left until it has finished; what failed or was cancelled is noted once', async () => {
  const { harness, simulator, pipeline } = await harnesses.begin({
    simulator: { exportDuration: 10 * hour },
    definitions: { nightly: { adopt } },
  });
  const job = peoplesJob(simulator);
  const failed = runs(simulator, job, day, 'failed');
  const cancelled = runs(simulator, job, day, 'cancelled');
  await settled(pipeline, [failed, cancelled], 'failed', 'cancelled');
  const live = runs(simulator, job, 0);
  await looks(harness, 3);
  const [first, second] = await settled(pipeline, [failed, cancelled], 'failed', 'cancelled');
  expect(first).toMatchObject({
    state: 'failed',
    reason: expect.stringContaining('Internal export error') as string,
  });
  expect(second).toMatchObject({ state: 'cancelled' });
  expect(await findAdoption(pipeline.db, 'nightly')).toMatchObject({
    matched: 3,
    inProgress: 1,
    reason: null,
  });

  // There is nothing to collect, and the job is not ours to repeat.
  await expect(reviveRun(pipeline, first?.id ?? 0)).rejects.toThrow(/stands for an export that failed/);
  expect(await requestCancel(pipeline, first?.id ?? 0)).toBe('cancelled');

  simulator.clock.advance(10 * hour);
  await settled(pipeline, [failed, cancelled, live], 'done', 'cancelled');
  expect(toJobs(harness)).toEqual([]);
});

test('only entries of the title, source and type are adopted, and never those of jobs of ours', async () => {
  const { harness, simulator, pipeline } = await harnesses.begin({
    definitions: {
      every: { adopt: { ...adopt, title: 'contacts', match: 'contains' } },
      ours: { windows: { length: '1h' } },
    },
  });
  const wanted = runs(simulator, peoplesJob(simulator, 'Nightly contacts, all sites'), hour);
  for (const [title, more] of [
    ['Nightly CONTACTS', {}],
    ['Nightly contacts', { type: 'interactions' }],
    // Of another installation, whose database we do not know.
    [`${newMarker()} udm-sync contacts 2026-01-01T00:00Z-2026-01-01T01:00Z`, {}],
  ] as const)
    runs(simulator, peoplesJob(simulator, title, more), hour);
  await settled(pipeline, [wanted], 'done');

  const run = await harness.planHour(pipeline, 0, 'ours');
  await harness.until(pipeline, run.id, 'done');
  await looks(harness, 3);
  expect((await runsOf(pipeline)).map(({ definition }) => definition).sort()).toEqual(['every', 'ours']);
});

test.each([
  ['files-and-history', { files: 'client', history: 'gone' }],
  ['nothing', { files: undefined, history: 'there' }],
] as const)('delete: %s', async (policy, expected) => {
  const { harness, simulator, pipeline } = await harnesses.begin({
    definitions: { nightly: { adopt, delete: policy } },
  });
  const job = peoplesJob(simulator);
  const entry = runs(simulator, job, hour);
  await settled(pipeline, [entry], 'done');
  await looks(harness, 2);
  await settled(pipeline, [entry], 'done');
  const { jobs, files } = simulator.state();
  expect(new Set(files.map((file) => file.deletedBy))).toEqual(new Set([expected.files]));
  expect(jobs[0]?.runs[0]?.deletedAt === undefined ? 'there' : 'gone').toBe(expected.history);
  expect(jobs[0]).toMatchObject({ id: job, deletedAt: undefined });
  expect(toJobs(harness)).toEqual([]);
});

test('an entry whose files the vendor has deleted is shown as lost, and not tried for ever', async () => {
  const since = new Date(Date.now() - 90 * day).toISOString();
  const { harness, simulator, pipeline } = await harnesses.begin({
    definitions: { nightly: { adopt: { ...adopt, since } } },
  });
  const job = peoplesJob(simulator);
  runs(simulator, job, 100 * day);
  const gone = runs(simulator, job, 40 * day);
  const fresh = runs(simulator, job, day);
  const [lost] = await settled(pipeline, [gone, fresh], 'failed', 'done');
  expect(lost).toMatchObject({ state: 'failed', reason: expect.stringMatching(/1 lost/) as string });
  expect((await filesOfRun(pipeline.db, lost?.id ?? 0)).map((file) => file.state)).toEqual(['lost']);

  expect(await reviveRun(pipeline, lost?.id ?? 0)).toBe('transferring');
  await settled(pipeline, [gone, fresh], 'failed', 'done');
  expect(toJobs(harness)).toEqual([]);
});

test('by default, what is over 30 days old when it is first looked at is left alone', async () => {
  const { harness, simulator, pipeline } = await harnesses.begin({ definitions: { nightly: { adopt } } });
  const job = peoplesJob(simulator);
  runs(simulator, job, 31 * day);
  const fresh = runs(simulator, job, 29 * day);
  await settled(pipeline, [fresh], 'done');
  await looks(harness, 2);
  await settled(pipeline, [fresh], 'done');
});

test('a name that another entry has too is not deleted, whoever made that', async () => {
  const { harness, simulator, pipeline } = await harnesses.begin({
    simulator: { filesFor: () => [{ name: 'export.zip.smime', size: 5000 }] },
    definitions: { nightly: { adopt } },
  });
  const job = peoplesJob(simulator);
  const entry = runs(simulator, job, day);
  // Nobody has told us of this job.
  runs(simulator, peoplesJob(simulator, 'Something else'), hour);
  const [run] = await settled(pipeline, [entry], 'failed');
  expect(run?.reason).toMatch(/also that of a file of history entry/);
  expect(simulator.state().files.map((file) => file.deletedAt)).toEqual([undefined, undefined]);
  expect(harness.requests(/^DELETE /)).toEqual([]);
});

test('a name that was made anew between the manifest and the clean-up is not deleted', async () => {
  const harness = await harnesses.start({
    simulator: { filesFor: () => [{ name: 'export.zip.smime', size: 5000 }] },
    definitions: { nightly: { adopt } },
  });
  const { simulator } = harness;
  const job = peoplesJob(simulator);
  const entry = runs(simulator, job, day);
  // The seal lists once, the clean-up once: before its answer, the other job has run.
  let stored = false;
  const { pipeline } = await harness.worker();
  pipeline.events.on('event', (event) => {
    if (event.kind !== 'run' || event.to !== 'stored' || stored) return;
    stored = true;
    runs(simulator, peoplesJob(simulator, 'Something else'), hour);
  });
  await expect
    .poll(
      async () => (await runsOf(pipeline)).map((run) => `${run.adoptedEntry} ${run.state} ${run.reason}`),
      { timeout: 30_000 },
    )
    .toEqual([expect.stringMatching(new RegExp(`${entry} stored .*also that of a file`))]);
  expect(harness.requests(/^DELETE /)).toEqual([]);
});

test('a delete whose answer was lost is asked again, and the run ends', async () => {
  const { simulator, pipeline } = await harnesses.begin({
    simulator: { filesFor: ({ id, run }) => [{ name: `${id}-${run}.zip.smime`, size: 5000 }] },
    definitions: { nightly: { adopt } },
  });
  simulator.faults.add({ endpoint: /^DELETE /, kind: 'lost-answer', times: 10 });
  const entry = runs(simulator, peoplesJob(simulator), day);
  await settled(pipeline, [entry], 'done');
});

test('a file that was made anew under its name, for the same entry, is not deleted', async () => {
  const harness = await harnesses.start({
    simulator: { filesFor: () => [{ name: 'export.zip.smime', size: 5000 }] },
    definitions: { nightly: { adopt } },
  });
  const { simulator } = harness;
  const entry = runs(simulator, peoplesJob(simulator), day);
  const { pipeline } = await harness.worker();
  pipeline.events.on('event', (event) => {
    if (event.kind !== 'run' || event.to !== 'stored') return;
    const item = { name: 'export.zip.smime', historyId: entry, createdDate: new Date().toISOString() };
    const body = { count: 1, items: [item] };
    simulator.faults.add({ endpoint: 'GET /v10/file-metadatas', kind: 'wrong-json', body });
  });
  await expect
    .poll(async () => (await runsOf(pipeline)).map((run) => `${run.state} ${run.reason}`), {
      timeout: 30_000,
    })
    .toEqual([expect.stringMatching(/^stored .*was made anew/)]);
  expect(harness.requests(/^DELETE /)).toEqual([]);
});

test('of two definitions that match an entry, one collects it, and the other says so once', async () => {
  const { harness, simulator, pipeline } = await harnesses.begin({
    definitions: {
      one: { adopt: { ...adopt, title: '^Nightly', match: 'regex' } },
      two: { adopt: { ...adopt, title: 'contacts$', match: 'regex' } },
    },
  });
  const job = peoplesJob(simulator);
  const entries = [runs(simulator, job, hour), runs(simulator, job, 2 * hour)];
  await settled(pipeline, entries, 'done');
  await looks(harness, 4);
  const done = await settled(pipeline, entries, 'done');
  expect(done).toHaveLength(2);
  const { signal } = new AbortController();
  const told = new Set<string>();
  for (let times = 0; times < 2; times += 1)
    for (const definition of Object.values(harness.config.definitions).filter(adopts))
      expect(await adoptEntries(pipeline, definition, { now: true, signal, told })).toEqual([]);
  const others = done.map((run) => `owner ${run.definition === 'one' ? 'two' : 'one'} ${run.adoptedEntry}`);
  expect([...told].sort()).toEqual(others.sort());
});

test('a split set is not sealed before all of its parts are listed', async () => {
  const parts = [1, 3].map((part) => ({ name: `set-part-000${part}-of-0003.zip.smime`, size: 100 }));
  const { harness, simulator, pipeline } = await harnesses.begin({
    simulator: { filesFor: () => parts },
    definitions: { nightly: { adopt, maxExportDuration: '1s' } },
  });
  const entry = runs(simulator, peoplesJob(simulator), hour);
  const [run] = await settled(pipeline, [entry], 'failed');
  expect(run?.reason).toMatch(/part 2 of 3/);
  expect(harness.requests(/^DELETE /)).toEqual([]);
  simulator.addFile({ name: 'set-part-0002-of-0003.zip.smime', size: 100, historyId: entry });
  expect(await reviveRun(pipeline, run?.id ?? 0)).toBe('transferring');
  await settled(pipeline, [entry], 'done');
});

test('a backlog comes a few at a time, the oldest first', async () => {
  const { harness, simulator, pipeline } = await harnesses.begin({
    definitions: { nightly: { adopt: { ...adopt, catchUp: 2 } } },
  });
  const release = simulator.faults.add({ endpoint: 'GET /v10/file-metadatas', kind: 'status', status: 503 });
  const job = peoplesJob(simulator);
  const entries = [5, 4, 3, 2, 1].map((ago) => runs(simulator, job, ago * day));
  await looks(harness, 3);
  await settled(pipeline, entries.slice(0, 2), 'collecting');
  expect(await findAdoption(pipeline.db, 'nightly')).toMatchObject({ waiting: 3 });
  release.remove();
  await settled(pipeline, entries, 'done');
});

test('a definition that adopts no more still deletes no job of people', async () => {
  const harness = await harnesses.start({ definitions: { nightly: { adopt } } });
  const { simulator } = harness;
  const job = peoplesJob(simulator);
  const entry = runs(simulator, job, hour);
  const held = simulator.faults.add({ endpoint: /^DELETE /, kind: 'status', status: 503 });
  const first = await harness.worker();
  const { pipeline } = first;
  await settled(pipeline, [entry], 'stored');
  await first.stop();
  held.remove();
  const definition = harness.config.definitions['nightly'] ?? never();
  const { adopt: dropped, ...kept } = definition;
  expect(dropped).toBeDefined();
  const other = await harness.worker({
    ...harness.config,
    definitions: { nightly: { ...kept, delete: 'files-and-job' } },
  });
  await settled(other.pipeline, [entry], 'done');
  expect(simulator.state().jobs[0]).toMatchObject({ id: job, deletedAt: undefined });
  expect(toJobs(harness)).toEqual([]);
});

test('the database refuses to make a job for an adopted entry', async () => {
  const { simulator, pipeline } = await harnesses.begin({ definitions: { nightly: { adopt } } });
  const entry = runs(simulator, peoplesJob(simulator), hour);
  const [run] = await settled(pipeline, [entry], 'done');
  await expect(
    pipeline.db.$client.query(`update udm_sync.runs set state = 'planned' where id = $1`, [run?.id]),
  ).rejects.toThrow(/runs_adopted_makes_no_job/);
});

test('a look that fails is noted, and tried again', async () => {
  const { simulator, pipeline } = await harnesses.begin({ definitions: { nightly: { adopt } } });
  const broken = simulator.faults.add({ endpoint: 'GET /v10/export/history', kind: 'status', status: 500 });
  const entry = runs(simulator, peoplesJob(simulator), hour);
  await expect
    .poll(async () => (await findAdoption(pipeline.db, 'nightly'))?.reason, { timeout: 30_000 })
    .toMatch(/500/);
  broken.remove();
  await settled(pipeline, [entry], 'done');
  expect(await findAdoption(pipeline.db, 'nightly')).toMatchObject({ reason: null });
});

describe('decisions', () => {
  test.each([
    [{ status: 'COMPLETED' }, 'completed'],
    [{ status: 'Success' }, 'completed'],
    [{ status: 'In Progress', progress: 100 }, undefined],
    [{ status: 'Awaiting Orbit' }, undefined],
    [{ status: 'Error' }, 'failed'],
    [{ status: 'Cancelled' }, 'cancelled'],
    [{ progress: 100 }, 'completed'],
    [{ progress: 99 }, undefined],
    [{}, undefined],
  ] as const)('an entry that says %j has ended as %s', (entry, outcome) => {
    expect(outcomeOf(entry, {})).toBe(outcome);
  });

  test.each([
    [{ title: ' Nightly contacts ' }, true],
    [{ title: 'Nightly contacts', source: 'ucsx', type: 'Contact' }, true],
    [{ title: 'Nightly contacts', source: 'iWD' }, false],
    [{ title: 'Nightly contacts 2' }, false],
    [{ title: `${newMarker()} Nightly contacts` }, false],
    [{}, false],
  ])('%j is adopted: %s', (entry, expected) => {
    const settings = { title: 'Nightly contacts', match: 'exact', everyMs: 1000, catchUp: 1 } as const;
    expect(isAdopted({ adopt: settings, source: 'UCSX', type: 'contacts' }, entry)).toBe(expected);
  });

  test('a job of people is deleted by no policy', () => {
    expect(deletionOf({ origin: 'adopt' }, 'files-and-job')).toBe('files');
    expect(deletionOf({ origin: 'schedule' }, 'files-and-job')).toBe('files-and-job');
    expect(deletionOf({ origin: 'adopt' }, 'files-and-history')).toBe('files-and-history');
  });
});
