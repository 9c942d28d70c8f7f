import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Pipeline, PipelineEvent } from '../jobs/context.ts';
import { tenantsAtWork } from '../jobs/shares.ts';

/** Seconds. */
const transferBuckets = [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400];
const exportBuckets = [10, 30, 60, 300, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400];
const callBuckets = [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60];

const exportOutcomes = ['completed', 'failed', 'cancelled', 'vanished'];
const abortReasons = ['settled', 'leaked', 'leftover'];

/**
 * What this process has done since it started, from what the pipeline tells. Labels are names of the config, states and
 * codes: never a file, a run or anything else without bound. docs/metrics.md explains each.
 */
export function watchProcess(
  registry: Registry,
  { config, events, memory: lanesOf }: Pick<Pipeline, 'config' | 'events' | 'memory'>,
): void {
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter({ name: `udm_sync_${name}`, help, labelNames: [...labelNames], registers });
  const histogram = <T extends string>(
    name: string,
    help: string,
    labelNames: readonly T[],
    buckets: number[],
  ) => new Histogram({ name: `udm_sync_${name}`, help, labelNames: [...labelNames], buckets, registers });

  const storedFiles = counter('stored_files_total', 'Files stored and verified.', ['definition']);
  const storedBytes = counter('stored_bytes_total', 'Bytes of files stored and verified.', ['definition']);
  const sentBytes = counter(
    'sent_bytes_total',
    'Bytes handed to sinks, also of attempts that failed or were gone on with.',
    ['definition'],
  );
  const deletedFiles = counter('deleted_files_total', 'Verified files deleted upstream.', ['definition']);
  const transferSeconds = histogram(
    'transfer_duration_seconds',
    'Time from the first byte asked for to the proof, of files stored and verified.',
    ['definition'],
    transferBuckets,
  );
  const exportSeconds = histogram(
    'export_duration_seconds',
    'Time from the creation of an upstream job to its end.',
    ['definition', 'outcome'],
    exportBuckets,
  );
  const failures = counter(
    'failures_total',
    'Steps, transfers, planning and looks for entries that failed, by error code.',
    ['definition', 'work', 'code'],
  );
  const retries = counter('retries_total', 'Attempts after the first, by what was tried again.', ['work']);
  const upstreamRequests = counter(
    'upstream_requests_total',
    'Attempts of calls to the upstream, by HTTP status.',
    ['tenant', 'endpoint', 'status'],
  );
  const upstreamSeconds = histogram(
    'upstream_request_duration_seconds',
    'Time of one attempt of a call to the upstream.',
    ['tenant', 'endpoint'],
    callBuckets,
  );
  const s3Requests = counter('s3_requests_total', 'Attempts of S3 calls, by HTTP status.', [
    'sink',
    'operation',
    'status',
  ]);
  const s3Seconds = histogram(
    's3_request_duration_seconds',
    'Time of one attempt of an S3 call until the headers of its answer.',
    ['sink', 'operation'],
    callBuckets,
  );
  const abortedUploads = counter('aborted_uploads_total', 'Unfinished uploads that were aborted.', [
    'sink',
    'why',
  ]);
  const abortedBytes = counter('aborted_upload_bytes_total', 'Bytes those held.', ['sink', 'why']);
  const lastLeaked = new Gauge({
    name: 'udm_sync_last_sweep_leaked_uploads',
    help: 'Leaked uploads that the last sweep of this process found and aborted.',
    labelNames: ['sink'],
    registers,
  });
  const sweepFailures = counter('sweep_failures_total', 'Sinks that could not be swept.', ['sink', 'code']);

  const memoryLabels = ['tenant', 'lane'] as const;
  const memory = tenantsAtWork(config).flatMap((tenant) => {
    const { small, large } = lanesOf(tenant);
    return [
      { labels: { tenant, lane: 'small' }, memory: small },
      { labels: { tenant, lane: 'large' }, memory: large },
    ];
  });
  const budget = new Gauge({
    name: 'udm_sync_memory_budget_bytes',
    help: 'Bytes that transfers may hold together.',
    labelNames: memoryLabels,
    registers,
  });
  for (const each of memory) budget.set(each.labels, each.memory.total);
  new Gauge({
    name: 'udm_sync_memory_used_bytes',
    help: 'Bytes of it that are lent out.',
    labelNames: memoryLabels,
    registers,
    collect() {
      for (const each of memory) this.set(each.labels, each.memory.used);
    },
  });

  // A counter that appears with its first event hides that event from increase().
  for (const definition of Object.keys(config.definitions))
    for (const outcome of exportOutcomes) exportSeconds.zero({ definition, outcome });
  for (const sink of Object.keys(config.sinks))
    for (const why of abortReasons) {
      abortedUploads.inc({ sink, why }, 0);
      abortedBytes.inc({ sink, why }, 0);
    }

  /** Bytes of each file under way that were counted. */
  const counted = new Map<number, number>();
  const observe = (event: PipelineEvent) => {
    switch (event.kind) {
      case 'bytes': {
        const before = counted.get(event.fileId) ?? 0;
        counted.set(event.fileId, event.bytes);
        // An attempt that begins anew counts from zero.
        const more = event.bytes >= before ? event.bytes - before : event.bytes;
        sentBytes.inc({ definition: event.run.definition }, more);
        return;
      }
      case 'file': {
        const { definition } = event.run;
        counted.delete(event.fileId);
        if (event.state === 'verified') {
          storedFiles.inc({ definition });
          storedBytes.inc({ definition }, event.bytes);
          if (event.durationMs !== undefined)
            transferSeconds.observe({ definition }, event.durationMs / 1000);
          return;
        }
        failures.inc({ definition, work: 'transfer', code: event.code ?? 'unforeseen' });
        if (event.state === 'failed') retries.inc({ work: 'transfer' });
        return;
      }
      case 'deleted':
        deletedFiles.inc({ definition: event.run.definition }, event.files);
        return;
      case 'export':
        exportSeconds.observe(
          { definition: event.run.definition, outcome: event.outcome },
          event.durationMs / 1000,
        );
        return;
      case 'run':
        // Back to the beginning: another job is made for the window.
        if (event.to === 'planned') retries.inc({ work: 'export' });
        return;
      case 'failed':
        failures.inc({ definition: event.definition, work: event.work, code: event.code });
        if (!event.final) retries.inc({ work: event.work });
        return;
      case 'aborted':
        abortedUploads.inc({ sink: event.sink, why: event.why }, event.uploads);
        abortedBytes.inc({ sink: event.sink, why: event.why }, event.bytes);
        if (event.why === 'leaked') lastLeaked.set({ sink: event.sink }, event.uploads);
        return;
      case 'sweep-failed':
        sweepFailures.inc({ sink: event.sink, code: event.code });
        return;
      case 'upstream-call': {
        const { tenant, call } = event;
        const { endpoint } = call;
        upstreamRequests.inc({ tenant, endpoint, status: statusOf(call) });
        upstreamSeconds.observe({ tenant, endpoint }, call.durationMs / 1000);
        if (call.attempt > 1) retries.inc({ work: 'upstream_call' });
        return;
      }
      case 'sink-call': {
        const { sink, call } = event;
        const { operation } = call;
        s3Requests.inc({ sink, operation, status: statusOf(call) });
        s3Seconds.observe({ sink, operation }, call.durationMs / 1000);
        if (call.attempt > 1) retries.inc({ work: 's3_call' });
        return;
      }
      default:
    }
  };
  events.on('event', observe);
}

/** `none` when no answer came. */
function statusOf({ status }: { readonly status?: number }): string {
  return status === undefined ? 'none' : String(status);
}
