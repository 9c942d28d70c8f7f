import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'drizzle-orm';
import { readStatus } from '../../src/cli/status.ts';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { raiseExpiring } from '../../src/jobs/expiry.ts';
import { planBySchedule } from '../../src/jobs/plan.ts';
import { prune } from '../../src/jobs/prune.ts';
import { rescue } from '../../src/jobs/worker.ts';
import { Queue } from '../../src/queue/queue.ts';
import { adoptedBy, findAdoption, idsOfOurs } from '../../src/store/adoptions.ts';
import { transact } from '../../src/store/database.ts';
import type { Transaction } from '../../src/store/database.ts';
import {
  countLiveExports,
  insertIntent,
  latestExport,
  liveExport,
  moveExport,
  notePoll,
} from '../../src/store/exports.ts';
import {
  claimFiles,
  countFilesByState,
  countTransfers,
  deletableFiles,
  filesOfExport,
  filesOfRun,
  heldFiles,
  insertFiles,
  markDeleted,
  moveFile,
  sharedNames,
  verifyFiles,
} from '../../src/store/files.ts';
import { historyOfRun } from '../../src/store/history.ts';
import {
  findRun,
  hasTransfers,
  insertRuns,
  listRuns,
  lockRun,
  moveRun,
  otherRunAt,
  runsById,
} from '../../src/store/runs.ts';
import { openMetricsReader } from '../../src/store/metrics.ts';
import { pruneBatch } from '../../src/store/pruning.ts';
import type { RunState } from '../../src/store/runs.ts';
import { abandonedUploads, filesWithUploads, findUpload, partsOf } from '../../src/store/uploads.ts';
import { definitionName } from './fill.ts';

const dayMs = 86_400_000;

const numbered = (n: number) => Array.from({ length: n }, (_, index) => `entry ${index}`);

/** Something the product asks Postgres, by the product's own functions. */
export interface Question {
  readonly who: 'worker' | 'queue' | 'status' | 'runs' | 'run-history';
  readonly name: string;
  readonly ask: () => Promise<unknown>;
}

class Undone extends Error {}

/** Does what a step would do, and takes it back. */
async function undone(pipeline: OpenPipeline, work: (tx: Transaction) => Promise<unknown>): Promise<void> {
  await transact(pipeline.db, async (tx) => {
    await work(tx);
    throw new Undone('taken back');
  }).catch((error: unknown) => {
    if (!(error instanceof Undone)) throw error;
  });
}

/** Everything that workers, `status`, `runs` and `run-history` ask, on a database filled by `fillHistory`. */
export async function allQuestions(pipeline: OpenPipeline, url: string): Promise<Question[]> {
  const { db, config } = pipeline;
  const only = <T>(row: T | undefined): T => {
    if (row === undefined) throw new Error('the database is not filled');
    return row;
  };
  const runIn = async (state: RunState) => only((await listRuns(db, { states: [state], limit: 1 }))[0]);
  const [done, transferring, exporting, planned] = [
    await runIn('done'),
    await runIn('transferring'),
    await runIn('exporting'),
    await runIn('planned'),
  ];
  const made = only(await latestExport(db, done.id));
  const current = only(await latestExport(db, transferring.id));
  const polled = only(await liveExport(db, exporting.id));
  const files = await filesOfExport(db, current.id);
  const waiting = files.filter((file) => file.state === 'waiting');
  const active = only(files.find((file) => file.state === 'transferring'));
  const deleted = await filesOfExport(db, made.id);
  const { rows } = await db.execute<{ export_id: string }>(
    sql`select export_id from udm_sync.files group by export_id order by count(*) desc limit 1`,
  );
  const large = Number(only(rows[0]).export_id);
  const largeFiles = await filesOfExport(db, large);
  const definitions = Object.values(config.definitions);
  const hundred = largeFiles.slice(0, 100);

  const worker = (name: string, ask: () => Promise<unknown>): Question => ({ who: 'worker', name, ask });
  const change = (name: string, work: (tx: Transaction) => Promise<unknown>) =>
    worker(name, () => undone(pipeline, work));
  return [
    ...[0, 3].map((n) =>
      worker(n === 0 ? 'plan' : 'plan, above a backfilled history', async () => {
        const definition = only(definitions[n]);
        await planBySchedule(pipeline, definition);
      }),
    ),
    worker('plan, a definition without runs', async () => {
      await planBySchedule(pipeline, {
        ...only(definitions[0]),
        name: 'brand-new',
        windows: { ...only(definitions[0]).windows, catchUp: 1 },
      });
    }),
    worker('raiseExpiring', () => raiseExpiring(pipeline)),
    worker('rescue', () => rescue(pipeline)),
    worker('prune, nothing is old enough', () => prune(pipeline, 400 * dayMs, new AbortController().signal)),
    worker('prune, a batch of runs', () =>
      pruneBatch(
        db,
        { before: new Date(Date.now() - 40 * dayMs), expiredBefore: new Date(), keepingUpstream: [] },
        undefined,
      ),
    ),
    worker('abandonedUploads', () => abandonedUploads(db, Object.keys(pipeline.config.sinks))),
    worker('findRun', () => findRun(db, done.id)),
    change('lockRun', (tx) => lockRun(tx, transferring.id)),
    change('insertRuns', (tx) =>
      insertRuns(
        tx,
        [
          {
            ...planned,
            origin: 'schedule',
            windowFrom: new Date(Date.now() + 86_400_000),
            windowTo: new Date(Date.now() + 90_000_000),
          },
        ],
        'bench',
      ),
    ),
    change('moveRun', (tx) => moveRun(tx, transferring, 'stored', 'bench')),
    change('countLiveExports', (tx) => countLiveExports(tx, planned.tenant)),
    change('insertIntent', (tx) =>
      insertIntent(
        tx,
        { runId: planned.id, tenant: planned.tenant, attempt: 9, marker: 'bench', request: {} },
        'bench',
      ),
    ),
    worker('liveExport', () => liveExport(db, exporting.id)),
    worker('latestExport', () => latestExport(db, done.id)),
    change('notePoll', (tx) => notePoll(tx, polled.id, { progress: 50 })),
    change('moveExport', (tx) => moveExport(tx, polled, 'completed', 'bench')),
    worker('findAdoption', () => findAdoption(db, done.definition)),
    worker('adoptedBy (100)', () => adoptedBy(db, done.tenant, numbered(100))),
    worker('idsOfOurs (100)', () => idsOfOurs(db, done.tenant, [...numbered(99), made.upstreamJobId ?? ''])),
    worker('otherRunAt', () => otherRunAt(db, done.sink, done.manifestKey ?? '', 0)),
    change('insertFiles (32)', (tx) =>
      insertFiles(
        tx,
        waiting.slice(0, 1).flatMap(({ runId, exportId, tenant, key, expiresAt }) =>
          Array.from({ length: 32 }, (_, n) => ({
            runId,
            exportId,
            tenant,
            name: `bench ${n}`,
            key,
            expiresAt,
          })),
        ),
        'bench',
      ),
    ),
    change('countTransfers', (tx) => countTransfers(tx, transferring.tenant, 'bench')),
    change('claimFiles (32)', (tx) =>
      claimFiles(
        tx,
        largeFiles
          .filter((file) => file.state === 'waiting')
          .slice(0, 32)
          .map((file) => file.id),
        'bench',
        'bench',
      ),
    ),
    change('heldFiles', (tx) => heldFiles(tx, active.claim ?? '')),
    worker('findUpload', () => findUpload(db, active.id)),
    worker('partsOf', async () => partsOf(db, only(await findUpload(db, active.id)).id)),
    worker('filesWithUploads', () =>
      filesWithUploads(
        db,
        files.map((file) => file.id),
      ),
    ),
    change('moveFile', (tx) => moveFile(tx, active, 'waiting', 'bench', 'given back')),
    change('verifyFiles (32)', (tx) =>
      verifyFiles(
        tx,
        largeFiles.slice(0, 32).map((file) => ({
          file,
          size: 1,
          crc32: '00000000',
          etag: null,
          sourceEtag: null,
          proof: 'size',
        })),
        'bench',
      ),
    ),
    worker('sharedNames (1)', () => sharedNames(db, done.tenant, [only(deleted[0]).name], 0)),
    worker('sharedNames (500)', () =>
      sharedNames(
        db,
        transferring.tenant,
        largeFiles.slice(0, 500).map((file) => file.name),
        large,
      ),
    ),
    worker('countFilesByState (10 files)', () => countFilesByState(db, current.id)),
    worker('countFilesByState (500 files)', () => countFilesByState(db, large)),
    worker('filesOfExport (10 files)', () => filesOfExport(db, made.id)),
    worker('filesOfExport (500 files)', () => filesOfExport(db, large)),
    worker('hasTransfers', () => hasTransfers(db, transferring.id)),
    worker('hasTransfers, none', () => hasTransfers(db, done.id)),
    worker('deletableFiles (10 files)', () => deletableFiles(db, current.id)),
    worker('deletableFiles (500 files)', () => deletableFiles(db, large)),
    change('markDeleted (100)', (tx) => markDeleted(tx, hundred, 'bench')),
    change('sendStep', (tx) => pipeline.queue.sendStep(tx, done)),
    change('hurry', (tx) => pipeline.queue.hurry(tx, planned)),
    change('sendTransfer', (tx) =>
      pipeline.queue.sendTransfer(
        tx,
        'transfer',
        { runId: done.id, tenant: done.tenant, fileIds: [1] },
        { priority: 1 },
      ),
    ),
    worker('metrics', async () => {
      const reader = openMetricsReader(url);
      try {
        await reader.readState(definitions.map((definition) => definition.name));
      } finally {
        await reader.close();
      }
    }),
    { who: 'queue', name: 'pg-boss', ask: () => workQueue(pipeline, url) },
    { who: 'status', name: 'status', ask: () => readStatus(db, config) },
    { who: 'runs', name: 'runs', ask: () => listRuns(db, { limit: 50 }) },
    {
      who: 'runs',
      name: 'runs --definition',
      ask: () => listRuns(db, { definition: definitionName(1), limit: 50 }),
    },
    ...(['done', 'failed', 'cancelled', 'exporting'] as const).map((state): Question => ({
      who: 'runs',
      name: `runs --state ${state}`,
      ask: () => listRuns(db, { states: [state], limit: 50 }),
    })),
    {
      who: 'runs',
      name: 'runs --definition --state failed,cancelled',
      ask: () => listRuns(db, { definition: definitionName(1), states: ['failed', 'cancelled'], limit: 50 }),
    },
    { who: 'runs', name: 'run, backfill: their runs', ask: () => runsById(db, [done.id, planned.id]) },
    { who: 'run-history', name: 'historyOfRun', ask: () => historyOfRun(db, done.id) },
    { who: 'run-history', name: 'filesOfRun', ask: () => filesOfRun(db, done.id) },
  ];
}

/** Lets a supervising queue claim, renew, hand back and look after jobs for a while, as that of a worker does. */
async function workQueue(pipeline: OpenPipeline, url: string): Promise<void> {
  const queue = await Queue.open({ url, logger: pipeline.logger, supervise: true });
  const handle = async (claim: Parameters<Parameters<Queue['work']>[0]['step']>[0]) => {
    await undone(pipeline, async (tx) => {
      await queue.renew(tx, claim);
      await queue.complete(tx, claim);
    });
    await delay(3_000);
  };
  await queue.work(
    { step: handle, transfer: (claim) => handle({ ...claim, payload: { runId: claim.payload.runId } }) },
    { steps: 2, transfers: 2, tenants: 2 },
  );
  await delay(5_000);
  await queue.stop(4_000);
}
