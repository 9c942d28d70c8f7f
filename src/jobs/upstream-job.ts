import type { Config } from '../config/config.ts';
import { reached } from '../crash-points.ts';
import { UdmSyncError } from '../errors.ts';
import type { Claim } from '../queue/queue.ts';
import type { Export } from '../store/exports.ts';
import type { Run } from '../store/runs.ts';
import { classifyStatus } from '../udm/status.ts';
import type { StatusMeaning } from '../udm/status.ts';
import type { ExportJob, HistoryEntry, UdmClient } from '../udm/types.ts';
import type { Pipeline } from './context.ts';
import { fence } from './fence.ts';
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
  const job =
    entry?.status === undefined && row.upstreamJobId !== null
      ? await upstream.getJob(row.upstreamJobId, signal)
      : undefined;
  const word = entry?.status ?? job?.status;
  const status =
    word === undefined ? 'unknown' : classifyStatus(word, extraWords(pipeline.config, run.tenant));
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

/** The status words that the config adds: it lists words by meaning, the classifier asks for the meaning of a word. */
export function extraWords(config: Config, tenant: string): Record<string, StatusMeaning> {
  const { completed, failed, cancelled, running, waiting } = config.tenants[tenant]?.statusWords ?? {};
  const lists = { completed, failed, cancelled, running, waiting } as const;
  const words: Record<string, StatusMeaning> = {};
  for (const meaning of ['completed', 'failed', 'cancelled', 'running', 'waiting'] as const)
    for (const word of lists[meaning] ?? []) words[word] = meaning;
  return words;
}

/** What carries a marker upstream: a job, or only the history entry of one. */
export interface Carrier {
  readonly jobId: string | undefined;
  readonly historyId: string | undefined;
}

/** All that carries the marker upstream, oldest job first as far as the upstream says. */
export async function findByMarker(
  upstream: UdmClient,
  marker: string,
  signal: AbortSignal,
): Promise<Carrier[]> {
  const jobs: { id: string; createdMs: number }[] = [];
  for await (const job of upstream.listJobs({ title: marker }, signal)) {
    if (carriesMarker(job.title, marker))
      jobs.push({ id: job.id, createdMs: job.createdDate?.getTime() ?? 0 });
  }
  jobs.sort((a, b) => a.createdMs - b.createdMs || a.id.localeCompare(b.id, 'en', { numeric: true }));
  const carriers: Carrier[] = jobs.map((job) => ({ jobId: job.id, historyId: undefined }));
  // A one-off job may already have moved on to history only.
  for await (const entry of upstream.listHistory({ title: marker }, signal)) {
    const known = entry.jobId !== undefined && carriers.some((carrier) => carrier.jobId === entry.jobId);
    // An entry that names no job may belong to one that is listed.
    const doubtful = entry.jobId === undefined && carriers.length > 0;
    if (carriesMarker(entry.title, marker) && !known && !doubtful)
      carriers.push({ jobId: entry.jobId, historyId: entry.id });
  }
  return carriers;
}

/**
 * Cancels jobs that carry the marker of an export but are not the one it follows: a create request that was given up
 * as lost can still arrive.
 */
export async function cancelSurplus(
  pipeline: Pipeline,
  claim: Claim<unknown>,
  run: Run,
  surplus: readonly Carrier[],
): Promise<void> {
  for (const { jobId } of surplus) {
    if (jobId === undefined) continue;
    pipeline.logger.warn(
      logFields(run, { upstreamJob: jobId }),
      'a second job carries our marker; cancelling it',
    );
    await cancelJob(pipeline, claim, run, jobId);
  }
}

/** A listing may lag behind: only so many looks in a row that found nothing, over long enough, mean that a job is gone. */
const absencesUntilVanished = 4;

/** Whether an export that was not seen now has been absent for so long that its job must be taken to be gone. */
export function hasVanished(pipeline: Pipeline, row: Export, seen: Sighting, now: Date): boolean {
  if (seen.entry || seen.job || row.absentSince === null) return false;
  const absentMs = now.getTime() - row.absentSince.getTime();
  return row.absentPolls + 1 >= absencesUntilVanished && absentMs >= pipeline.config.worker.createSettleMs;
}

/** What a look says about an export, as columns of its row. */
export function sightingColumns(row: Export, seen: Sighting, now: Date) {
  const absent = !seen.entry && !seen.job;
  const progress = seen.status === 'completed' ? 100 : seen.entry?.progress;
  return {
    absentPolls: absent ? row.absentPolls + 1 : 0,
    absentSince: absent ? (row.absentSince ?? now) : null,
    ...(seen.entry ? { upstreamHistoryId: seen.entry.id } : {}),
    ...(seen.entry?.jobId === undefined || row.upstreamJobId !== null
      ? {}
      : { upstreamJobId: seen.entry.jobId }),
    ...(seen.word === undefined ? {} : { statusWord: seen.word }),
    ...(progress === undefined ? {} : { progress: Math.round(progress) }),
  };
}

/** POST /v10/export/jobs/cancel/{id}. A job that has ended is refused with 400: that is no failure, the next look sees it. */
export async function cancelJob(
  pipeline: Pipeline,
  claim: Claim<unknown>,
  run: Run,
  id: string,
): Promise<void> {
  const stillOurs = await fence(pipeline, claim);
  reached('before:cancel-job');
  stillOurs();
  try {
    await pipeline.upstream(run.tenant).cancelJob(id, claim.signal);
    reached('after:cancel-job');
  } catch (error) {
    if (!(error instanceof UdmSyncError && error.code === 'ERR_UDM_BAD_REQUEST')) throw error;
  }
}
