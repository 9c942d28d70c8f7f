import { UdmSyncError } from '../errors.ts';
import type { Export } from '../store/exports.ts';
import type { Run } from '../store/runs.ts';
import { classifyStatus } from '../udm/status.ts';
import type { StatusMeaning } from '../udm/status.ts';
import type { ExportJob, HistoryEntry, UdmClient } from '../udm/types.ts';
import type { Pipeline } from './context.ts';
import { carriesMarker } from './marker.ts';
import { logFields } from './settle.ts';

/** What one look at an upstream job saw. */
export interface Sighting {
  readonly job: ExportJob | undefined;
  readonly entry: HistoryEntry | undefined;
  readonly status: StatusMeaning;
  readonly word: string | undefined;
}

/** What the upstream says of an export now: GET history (by id, or listed by job) with its progress, else the job. */
export async function look(
  pipeline: Pipeline,
  run: Run,
  row: Export,
  signal: AbortSignal,
): Promise<Sighting> {
  const upstream = pipeline.upstream(run.tenant);
  let entry =
    row.upstreamHistoryId === null ? undefined : await upstream.getHistory(row.upstreamHistoryId, signal);
  if (!entry && row.upstreamJobId !== null) {
    for await (const candidate of upstream.listHistory({ jobId: row.upstreamJobId }, signal)) {
      if (candidate.jobId === row.upstreamJobId || carriesMarker(candidate.title, row.marker)) {
        entry = candidate;
        break;
      }
    }
  }
  const needsJob = entry?.status === undefined && row.upstreamJobId !== null;
  const job =
    needsJob && row.upstreamJobId !== null ? await upstream.getJob(row.upstreamJobId, signal) : undefined;
  const word = entry?.status ?? job?.status;
  const status = word === undefined ? 'unknown' : classifyStatus(word, extraWords(pipeline, run.tenant));
  if (
    entry &&
    entry.progress === undefined &&
    status !== 'completed' &&
    status !== 'failed' &&
    status !== 'cancelled'
  ) {
    const progress = await upstream.getHistoryProgress(entry.id, signal);
    if (progress !== undefined) entry = { ...entry, progress };
  }
  return { job, entry, status, word };
}

/** The config lists words by meaning; the classifier asks for the meaning of a word. */
function extraWords(pipeline: Pipeline, tenant: string): Record<string, StatusMeaning> {
  const { completed, failed, cancelled, running, waiting } =
    pipeline.config.tenants[tenant]?.statusWords ?? {};
  const lists = { completed, failed, cancelled, running, waiting } as const;
  const words: Record<string, StatusMeaning> = {};
  for (const meaning of ['completed', 'failed', 'cancelled', 'running', 'waiting'] as const)
    for (const word of lists[meaning] ?? []) words[word] = meaning;
  return words;
}

/**
 * Cancels jobs that carry the marker of an export but are not the one it follows: a create request that was given up
 * as lost can still arrive.
 */
export async function cancelSurplus(
  pipeline: Pipeline,
  run: Run,
  surplus: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  for (const id of surplus) {
    pipeline.logger.warn(
      logFields(run, { upstreamJob: id }),
      'a second job carries our marker; cancelling it',
    );
    await cancelJob(pipeline.upstream(run.tenant), id, signal);
  }
}

/** Ids of all upstream jobs that carry the marker, oldest first as far as the upstream says. */
export async function findByMarker(
  upstream: UdmClient,
  marker: string,
  signal: AbortSignal,
): Promise<string[]> {
  const jobs: { id: string; createdMs: number }[] = [];
  for await (const job of upstream.listJobs({ title: marker }, signal)) {
    if (carriesMarker(job.title, marker))
      jobs.push({ id: job.id, createdMs: job.createdDate?.getTime() ?? 0 });
  }
  jobs.sort((a, b) => a.createdMs - b.createdMs || a.id.localeCompare(b.id, 'en', { numeric: true }));
  const ids = jobs.map((job) => job.id);
  // A one-off job may already have moved on to history only.
  for await (const entry of upstream.listHistory({ title: marker }, signal)) {
    if (carriesMarker(entry.title, marker) && entry.jobId !== undefined && !ids.includes(entry.jobId))
      ids.push(entry.jobId);
  }
  return ids;
}

/** POST /v10/export/jobs/cancel/{id}. A job that has ended is refused with 400: that is no failure, the next look sees it. */
export async function cancelJob(upstream: UdmClient, id: string, signal: AbortSignal): Promise<void> {
  try {
    await upstream.cancelJob(id, signal);
  } catch (error) {
    if (!(error instanceof UdmSyncError && error.code === 'ERR_UDM_BAD_REQUEST')) throw error;
  }
}
