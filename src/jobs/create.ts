import type { DefinitionConfig, TenantConfig } from '../config/config.ts';
import { formatUpstreamDate } from '../config/date-format.ts';
import { reached } from '../crash-points.ts';
import { UdmSyncError } from '../errors.ts';
import type { Claim, StepPayload } from '../queue/queue.ts';
import { databaseNow, lockFor, transact } from '../store/database.ts';
import {
  countLiveExports,
  insertIntent,
  liveExport,
  moveExport,
  noteCreateSent,
  noteNotCreated,
} from '../store/exports.ts';
import type { Export } from '../store/exports.ts';
import { lockRun, moveRun } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import type { ExportJobRequest } from '../udm/types.ts';
import { definitionOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { jobTitle, newMarker } from './marker.ts';
import { tenantNamed } from './outside.ts';
import { afterFailedExport, logFields, settleStep } from './settle.ts';
import type { Outcome } from './settle.ts';
import { cancelSurplus, findByMarker } from './upstream-job.ts';
import type { Carrier } from './upstream-job.ts';
import type { Window } from './windows.ts';

/** How often a run that waits for its tenant's limit asks again. */
const queueForLimitMs = 3_000;

/**
 * The step of a `planned` run: commits the intent to create an upstream job, and with it the marker that finds the
 * job again. Waits while the tenant has as many live jobs as it may.
 */
export async function planExport(pipeline: Pipeline, claim: Claim<StepPayload>, run: Run): Promise<void> {
  if (run.cancelRequestedAt) {
    await settleStep(pipeline, claim, run, { to: 'cancelled', reason: 'cancelled before it was exported' });
    return;
  }
  const definition = definitionOf(pipeline, run);
  const tenant = tenantNamed(pipeline.config, run.tenant);
  const { db, queue, who } = pipeline;
  const marker = newMarker();
  const window = { from: run.windowFrom, to: run.windowTo };
  const request = jobRequest(definition, tenant, window, marker);
  const begun = await transact(db, async (tx) => {
    await lockFor(tx, `exports:${run.tenant}`);
    // A second statement after the lock: it sees what the previous holder committed.
    if ((await countLiveExports(tx, run.tenant)) >= tenant.limits.exports) return false;
    const current = await lockRun(tx, run.id);
    await queue.complete(tx, claim);
    if (current?.state !== 'planned') return true;
    const attempt = run.attempt + 1;
    await insertIntent(tx, { runId: run.id, tenant: run.tenant, attempt, marker, request }, who);
    await moveRun(tx, run, 'creating', who, undefined, { attempt });
    await queue.sendStep(tx, run);
    reached('before:commit-creating');
    return true;
  });
  if (begun) {
    reached('after:commit-creating');
    const attempt = run.attempt + 1;
    pipeline.logger.info(logFields(run, { attempt, from: 'planned', to: 'creating' }), 'run moved');
    pipeline.events.emit('event', { kind: 'run', run, from: 'planned', to: 'creating', reason: undefined });
  } else {
    const reason = `waiting: ${tenant.limits.exports} exports of ${run.tenant} are running (tenants.${run.tenant}.limits.exports)`;
    await settleStep(pipeline, claim, run, { reason, nextMs: queueForLimitMs * (0.7 + 0.6 * Math.random()) });
  }
}

/**
 * The step of a `creating` run: makes sure that exactly one upstream job carries the marker.
 *
 * Whoever may have sent the request before (this worker, or one that died or is merely frozen), its request can no
 * longer be under way once the request's time limit and `worker.createSettle` have passed: only then is the upstream
 * searched for the marker, and only if nothing carries it is the job created.
 */
export async function createExport(pipeline: Pipeline, claim: Claim<StepPayload>, run: Run): Promise<void> {
  const tenant = tenantNamed(pipeline.config, run.tenant);
  const upstream = pipeline.upstream(run.tenant);
  const row = await liveExport(pipeline.db, run.id);
  if (!row) throw new UdmSyncError('ERR_STATE', `Run ${run.id} is being created but has no intent.`);

  if (row.createSentAt) {
    const settledAt =
      row.createSentAt.getTime() + tenant.requestTimeoutMs + pipeline.config.worker.createSettleMs;
    const waitMs = settledAt - (await databaseNow(pipeline.db)).getTime();
    if (waitMs > 0) {
      await settleStep(pipeline, claim, run, {
        nextMs: waitMs,
        reason: 'waiting until the create request has settled',
      });
      return;
    }
    const found = await findByMarker(upstream, row.marker, claim.signal);
    if (found.length > 0) {
      await adopt(pipeline, claim, run, row, found, 'found by its marker after the answer was lost');
      return;
    }
  }
  const attempts = definitionOf(pipeline, run).retry.attempts;
  if (row.createTries >= attempts) {
    // Asking on would pile up jobs that we cannot find again.
    const reason = `the job was asked for ${row.createTries} times, and nothing upstream carries "${row.marker}" in its title`;
    await settleStep(pipeline, claim, run, {
      to: 'failed',
      reason,
      also: (tx) => moveExport(tx, row, 'vanished', pipeline.who, reason),
    });
    return;
  }
  if (run.cancelRequestedAt) {
    await settleStep(pipeline, claim, run, {
      to: 'cancelled',
      reason: 'cancelled before the upstream job was created',
      also: (tx) => moveExport(tx, row, 'cancelled', pipeline.who, 'never created'),
    });
    return;
  }
  await sendCreate(pipeline, claim, run, row, tenant.requestTimeoutMs);
}

async function sendCreate(
  pipeline: Pipeline,
  claim: Claim<StepPayload>,
  run: Run,
  row: Export,
  requestTimeoutMs: number,
): Promise<void> {
  const upstream = pipeline.upstream(run.tenant);
  const definition = definitionOf(pipeline, run);
  const window = { from: run.windowFrom, to: run.windowTo };
  const request = jobRequest(definition, tenantNamed(pipeline.config, run.tenant), window, row.marker);
  // The time limit begins before the commit, and nothing is sent after it: others rely on that (see above), even if
  // this process is frozen on the way.
  const sendBy = performance.now() + requestTimeoutMs;
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(tooSlow(run)), requestTimeoutMs);
  const signal = AbortSignal.any([claim.signal, limit.signal]);
  let id: string | undefined;
  try {
    const wanted = await transact(pipeline.db, async (tx) => {
      const current = await lockRun(tx, run.id);
      await pipeline.queue.renew(tx, claim);
      if (current?.state !== 'creating' || current.cancelRequestedAt) return false;
      await noteCreateSent(tx, row.id, request);
      reached('before:note-create');
      return true;
    });
    if (!wanted) {
      await settleStep(pipeline, claim, run, { nextMs: 0 });
      return;
    }
    reached('after:note-create');
    reached('before:create-job');
    // A process that was frozen goes on right here, and no timer of its own has fired yet.
    if (performance.now() >= sendBy) throw tooSlow(run);
    signal.throwIfAborted();
    ({ id } = await upstream.createJob(request, signal));
    reached('after:create-job');
  } catch (error) {
    if (hadNoEffect(error)) {
      reached('before:take-back-create');
      await noteNotCreated(pipeline.db, row.id, row.createTries + 1);
      reached('after:take-back-create');
    }
    if (!isRefusal(error)) throw error;
    const outcome = afterFailedExport(pipeline, run, `the upstream refused the job: ${error.message}`);
    const reason = outcome.reason;
    await settleStep(pipeline, claim, run, {
      ...outcome,
      also: async (tx) => {
        await moveExport(tx, row, 'failed', pipeline.who, reason);
        await outcome.also?.(tx, run);
      },
    });
    return;
  } finally {
    clearTimeout(timer);
  }
  // After a second send, an earlier one may have arrived late after all: then the first is kept.
  const found =
    id === undefined || row.createTries > 0 ? await findByMarker(upstream, row.marker, claim.signal) : [];
  if (id !== undefined && !found.some((carrier) => carrier.jobId === id))
    found.push({ jobId: id, historyId: undefined });
  if (found.length === 0) {
    await settleStep(pipeline, claim, run, {
      nextMs: pipeline.config.worker.createSettleMs,
      reason: 'the upstream accepted the job but named no id; it is looked for by its marker',
    });
    return;
  }
  await adopt(pipeline, claim, run, row, found, undefined);
}

/** Makes the first of the jobs that carry the marker ours, and cancels any other. */
async function adopt(
  pipeline: Pipeline,
  claim: Claim<StepPayload>,
  run: Run,
  row: Export,
  found: readonly Carrier[],
  reason: string | undefined,
): Promise<void> {
  const [kept, ...surplus] = found;
  if (kept === undefined) return;
  const name = kept.jobId ?? `of history entry ${kept.historyId ?? '?'}`;
  await cancelSurplus(pipeline, claim, run, surplus);
  const outcome: Outcome = {
    to: run.cancelRequestedAt ? 'cancelling' : 'exporting',
    ...(reason === undefined ? {} : { reason }),
    nextMs: run.cancelRequestedAt ? 0 : pipeline.config.worker.poll.minMs,
    also: (tx) =>
      moveExport(
        tx,
        row,
        'created',
        pipeline.who,
        surplus.length > 0
          ? `upstream job ${name}; cancelled ${surplus.map((carrier) => carrier.jobId ?? '?').join(', ')}`
          : (reason ?? `upstream job ${name}`),
        { upstreamJobId: kept.jobId ?? null, upstreamHistoryId: kept.historyId ?? null },
      ),
  };
  await settleStep(pipeline, claim, run, outcome);
}

function tooSlow(run: Run): UdmSyncError {
  return new UdmSyncError('ERR_UDM_TIMEOUT', `The job of run ${run.id} could not be created in time.`, {
    hint: 'It is looked for, and tried again if it is not there.',
    retryable: true,
  });
}

/** A definite no to this very request: asking the same again will not help. */
function isRefusal(error: unknown): error is UdmSyncError {
  return error instanceof UdmSyncError && error.code === 'ERR_UDM_BAD_REQUEST';
}

/** Whether the job certainly does not exist: the request was refused, or never left. Anything else may have created it. */
function hadNoEffect(error: unknown): boolean {
  return (
    error instanceof UdmSyncError &&
    /^ERR_UDM_(BAD_REQUEST|API_KEY|CLIENT_CREDENTIALS|USER_CREDENTIALS|UNAUTHORIZED|FORBIDDEN|UNAVAILABLE)$/.test(
      error.code,
    )
  );
}

/** The body of POST /v10/export/jobs: a one-off job over exactly the window. */
export function jobRequest(
  definition: DefinitionConfig,
  tenant: TenantConfig,
  window: Window,
  marker: string,
): ExportJobRequest {
  const { source, type, subType, media, attachments, fileSplitSize } = definition;
  return {
    source,
    type,
    title: jobTitle(definition, window, marker),
    description: `Created by udm-sync for ${definition.name}`,
    timeFrame: {
      all: false,
      dateFrom: formatUpstreamDate(window.from, tenant.dateFormat),
      dateTo: formatUpstreamDate(window.to, tenant.dateFormat),
    },
    schedulerParam: { immediately: true },
    jobParams: {
      ...(fileSplitSize === undefined ? {} : { fileSplitSize }),
      ...(subType === undefined ? {} : { type: subType }),
      ...(media === undefined ? {} : { media }),
      exportAttachments: attachments,
    },
    suspended: false,
  };
}
