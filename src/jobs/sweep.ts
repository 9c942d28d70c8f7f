import { reached } from '../crash-points.ts';
import { describeError } from '../errors.ts';
import type { SweepResult, Upload } from '../sinks/sink.ts';
import { databaseNow } from '../store/database.ts';
import { exclusively } from '../store/exclusive.ts';
import { abandonedUploads, deleteUpload, neededUploads } from '../store/uploads.ts';
import type { AbandonedUpload } from '../store/uploads.ts';
import type { Pipeline } from './context.ts';
import { errorCode } from './settle.ts';

export interface SweepSettings {
  /** Uploads that Postgres does not know are left alone until they are so old, in ms. */
  readonly olderThanMs: number;
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

/** What was aborted in one sink, or would be. */
export interface SinkSweep {
  /** Noted in Postgres, for a file that is settled or a run that was cancelled. */
  readonly settled: SweepResult;
  /** In the store, and not noted: whoever began them died before. */
  readonly leaked: SweepResult;
}

/** As many as the worker's tick takes on at once. */
const perTick = 100;

/** Aborts uploads that Postgres knows and nobody will continue: their parts are invisible, and paid for. */
export async function abortAbandoned(pipeline: Pipeline): Promise<void> {
  try {
    await settle(pipeline, Object.keys(pipeline.config.sinks), perTick, false);
  } catch (error) {
    pipeline.logger.error({ reason: describeError(error) }, 'aborting uploads that nobody continues failed');
  }
}

/** Aborts every upload of a sink that nobody will continue, whether or not Postgres knows it. */
export async function sweepSink(
  pipeline: Pipeline,
  name: string,
  { olderThanMs, dryRun = false, signal }: SweepSettings,
): Promise<SinkSweep> {
  const { db } = pipeline;
  const settled = await settle(pipeline, [name], undefined, dryRun, signal);
  const before = new Date((await databaseNow(db)).getTime() - olderThanMs);
  const leaked = await pipeline.sink(name).sink.sweep('', before, {
    needed: () => neededUploads(db),
    dryRun,
    ...(signal ? { signal } : {}),
  });
  if (!dryRun) tell(pipeline, name, 'leaked', leaked);
  if (!dryRun && leaked.aborted > 0)
    pipeline.logger.warn({ sink: name, ...leaked }, 'aborted leaked uploads, which nobody had noted');
  return { settled, leaked };
}

/** Sweeps every sink, unless another process is doing so. A sink that fails holds up none of the others. */
export async function sweepAll(pipeline: Pipeline, settings: SweepSettings): Promise<void> {
  await exclusively(pipeline.db, 'sweep', async () => {
    for (const name of Object.keys(pipeline.config.sinks)) {
      try {
        await sweepSink(pipeline, name, settings);
      } catch (error) {
        settings.signal?.throwIfAborted();
        pipeline.events.emit('event', { kind: 'sweep-failed', sink: name, code: errorCode(error) });
        // The files are safe all the same; a lifecycle rule is the net below this.
        pipeline.logger.warn({ sink: name, reason: describeError(error) }, 'the sink could not be swept');
      }
    }
  });
}

function tell(
  { events }: Pipeline,
  sink: string,
  why: 'settled' | 'leaked',
  { aborted: uploads, bytes }: SweepResult,
): void {
  events.emit('event', { kind: 'aborted', sink, why, uploads, bytes });
}

async function settle(
  pipeline: Pipeline,
  sinks: readonly string[],
  limit: number | undefined,
  dryRun: boolean,
  signal?: AbortSignal,
): Promise<SweepResult> {
  let aborted = 0;
  let bytes = 0;
  const failures = new Map<string, unknown>();
  for (const abandoned of await abandonedUploads(pipeline.db, sinks, limit)) {
    signal?.throwIfAborted();
    // A store that does not answer holds up no other.
    if (failures.has(abandoned.sink)) continue;
    if (!abandoned.upload) {
      pipeline.logger.warn(
        { sink: abandoned.sink, upload: abandoned.id },
        'an unfinished upload is noted unreadably',
      );
      continue;
    }
    try {
      if (!dryRun) await abortOne(pipeline, abandoned, abandoned.upload);
      aborted += 1;
      bytes += abandoned.sentBytes;
    } catch (error) {
      failures.set(abandoned.sink, error);
    }
  }
  for (const error of failures.values()) throw error;
  return { aborted, bytes };
}

async function abortOne(
  pipeline: Pipeline,
  { id, sink, sentBytes }: AbandonedUpload,
  upload: Upload,
): Promise<void> {
  await pipeline.sink(sink).sink.uploads?.abort(upload);
  reached('before:forget-upload');
  await deleteUpload(pipeline.db, id);
  reached('after:forget-upload');
  tell(pipeline, sink, 'settled', { aborted: 1, bytes: sentBytes });
  pipeline.logger.info(
    { sink, key: upload.key, bytes: sentBytes },
    'aborted an upload that nobody continues',
  );
}
