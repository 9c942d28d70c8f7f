import type { Claim, StepPayload } from '../queue/queue.ts';
import { deletableFiles, markDeleted } from '../store/files.ts';
import type { Run } from '../store/runs.ts';
import { completedExport } from './collect.ts';
import { definitionOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { backoff } from './delays.ts';
import { settleStep } from './settle.ts';

/** As many names as the upstream takes in one list. */
const listLimit = 100;

/**
 * The step of a `stored` run: deletes upstream what the definition says, and nothing that is not committed as
 * verified. Repeating it after a crash is harmless: what is gone answers 404, which means done.
 */
export async function cleanUpstream(pipeline: Pipeline, claim: Claim<StepPayload>, run: Run): Promise<void> {
  const mode = definitionOf(pipeline, run).delete;
  if (mode === 'nothing') {
    await settleStep(pipeline, claim, run, {
      to: 'done',
      reason: 'upstream files are kept (delete: nothing)',
    });
    return;
  }
  const row = await completedExport(pipeline, run);
  const upstream = pipeline.upstream(run.tenant);
  const { db, queue, who, events } = pipeline;
  let kept = 0;
  const candidates = await deletableFiles(db, row.id);
  for (let at = 0; at < candidates.length; at += listLimit) {
    const slice = candidates.slice(at, at + listLimit);
    // Fenced: a worker that was frozen and replaced deletes nothing.
    await db.transaction((tx) => queue.renew(tx, claim));
    const { remaining } = await upstream.deleteFiles(
      slice.map((file) => file.name),
      claim.signal,
    );
    const gone = slice.filter((file) => !remaining.includes(file.name));
    kept += remaining.length;
    await db.transaction(async (tx) => {
      await queue.renew(tx, claim);
      await markDeleted(tx, gone, who);
    });
    events.emit('event', { kind: 'deleted', run, files: gone.length });
  }
  if (kept > 0) {
    const { minDelayMs, maxDelayMs } = definitionOf(pipeline, run).retry;
    await settleStep(pipeline, claim, run, {
      reason: `the upstream would not delete ${kept} files now; they are safe in the sink`,
      nextMs: backoff(1, { minMs: minDelayMs, maxMs: maxDelayMs }, Math.random()),
    });
    return;
  }
  if (mode === 'files-and-job') {
    await upstream.deleteHistory(row.upstreamHistoryId, claim.signal);
    if (row.upstreamJobId !== null) await upstream.deleteJob(row.upstreamJobId, claim.signal);
  }
  await settleStep(pipeline, claim, run, { to: 'done' });
}
