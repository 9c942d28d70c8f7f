import type { EventEmitter } from 'node:events';
import type { ExpiryLevel } from '../../drizzle/schema.ts';
import type { Config, DefinitionConfig } from '../config/config.ts';
import { UdmSyncError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Queue } from '../queue/queue.ts';
import type { S3Call } from '../sinks/s3-calls.ts';
import type { Sink } from '../sinks/sink.ts';
import type { Database } from '../store/database.ts';
import type { Run, RunState } from '../store/runs.ts';
import type { Bandwidth } from '../transfer/bandwidth.ts';
import type { Lanes } from '../transfer/memory.ts';
import type { Pace } from '../transfer/pace.ts';
import type { CallReport } from '../udm/http.ts';
import type { UdmClient } from '../udm/types.ts';
import type { Bounds } from './delays.ts';

/** What the pipeline tells whoever shows it; nothing depends on anyone listening. */
export type PipelineEvent =
  /** A schedule has fired, or a tick that came while no worker ran is made up for. */
  | { readonly kind: 'tick'; readonly definition: string; readonly planned: number }
  | { readonly kind: 'planned'; readonly run: Run }
  | {
      readonly kind: 'run';
      readonly run: Run;
      readonly from: RunState;
      readonly to: RunState;
      readonly reason: string | undefined;
    }
  /** An export's progress, 0 to 100. */
  | { readonly kind: 'progress'; readonly run: Run; readonly progress: number | undefined }
  /** Bytes of one file handed to the sink so far. */
  | {
      readonly kind: 'bytes';
      readonly run: Run;
      readonly fileId: number;
      readonly name: string;
      readonly bytes: number;
      readonly total: number | undefined;
    }
  | {
      readonly kind: 'file';
      readonly run: Run;
      readonly fileId: number;
      readonly name: string;
      readonly state: 'verified' | 'failed' | 'dead' | 'lost';
      readonly bytes: number;
      /** How long the last attempt took, of a verified file. */
      readonly durationMs?: number;
      /** Why, of one that is not; see `errorCode`. */
      readonly code?: string;
    }
  | { readonly kind: 'deleted'; readonly run: Run; readonly files: number }
  /** Files of a run that are not safe yet have come near the time at which the vendor deletes them. */
  | {
      readonly kind: 'expiry';
      readonly run: Run;
      readonly level: ExpiryLevel;
      /** How many of its files have reached this level now. */
      readonly files: number;
      /** As the upstream announced them. */
      readonly bytes: number;
      /** When the first of them is deleted. */
      readonly soonest: Date;
    }
  /** An export has ended upstream, this long after it was asked for. */
  | {
      readonly kind: 'export';
      readonly run: Run;
      readonly outcome: 'completed' | 'failed' | 'cancelled' | 'vanished';
      readonly durationMs: number;
    }
  /** A step, planning or a look for entries failed. It is tried again, unless this was the last time. */
  | {
      readonly kind: 'failed';
      readonly work: 'plan' | 'adopt' | 'step';
      readonly definition: string;
      readonly code: string;
      readonly final: boolean;
    }
  /** Unfinished uploads were looked for and aborted: `settled` and `leaked` as in `SinkSweep`, `leftover` in a run's folder. */
  | {
      readonly kind: 'aborted';
      readonly sink: string;
      readonly why: 'settled' | 'leaked' | 'leftover';
      readonly uploads: number;
      readonly bytes: number;
    }
  | { readonly kind: 'sweep-failed'; readonly sink: string; readonly code: string }
  /** One attempt of a call to the upstream, whatever came of it. */
  | { readonly kind: 'upstream-call'; readonly tenant: string; readonly call: CallReport }
  /** One attempt of a call to an S3 sink, whatever came of it. */
  | { readonly kind: 'sink-call'; readonly sink: string; readonly call: S3Call };

export type PipelineEvents = EventEmitter<{ event: [PipelineEvent] }>;

/** A sink with how far its objects are to be proven. */
export interface SinkBinding {
  readonly sink: Sink;
  readonly verify: 'head' | 'read';
}

/** Everything a step may use. */
export interface Pipeline {
  readonly config: Config;
  readonly db: Database;
  readonly queue: Queue;
  readonly logger: Logger;
  readonly events: PipelineEvents;
  /** Bytes that the transfers of a tenant may hold in memory together: its part of what this process may hold. */
  memory(tenant: string): Lanes;
  /** How fast the transfers of a tenant have been lately. */
  pace(tenant: string): Pace;
  /** Limit on what all transfers of this process read, if there is one. */
  readonly bandwidth: Bandwidth | undefined;
  /** This process, as history names it: host, pid and a random part. */
  readonly who: string;
  /** Aborted when the process wants to stop: finish what is short, give back the rest. */
  readonly draining: AbortSignal;
  upstream(tenant: string): UdmClient;
  sink(name: string): SinkBinding;
}

/** How a run's failures are retried; the config's defaults for a run whose definition is gone. */
export function retryOf(pipeline: Pipeline, run: Run): { readonly attempts: number } & Bounds {
  const retry = pipeline.config.definitions[run.definition]?.retry;
  return {
    attempts: retry?.attempts ?? 5,
    minMs: retry?.minDelayMs ?? 30_000,
    maxMs: retry?.maxDelayMs ?? 1_800_000,
  };
}

/** The definition a run belongs to; runs outlive config files, so it may be gone. */
export function definitionOf(pipeline: Pipeline, run: Run): DefinitionConfig {
  const definition = pipeline.config.definitions[run.definition];
  if (definition) return definition;
  throw new UdmSyncError(
    'ERR_DEFINITION_GONE',
    `Run ${run.id} belongs to the definition "${run.definition}", which the config no longer has.`,
    { hint: `Put the definition back, or cancel the run with: udm-sync cancel ${run.id}`, retryable: true },
  );
}

/**
 * The sink of a run, where it was when the run's first file was copied: a manifest must not speak of objects that lie
 * elsewhere, and nothing may be deleted upstream on the word of another bucket.
 */
export function sinkOf(pipeline: Pipeline, run: Run): SinkBinding {
  const binding = pipeline.sink(run.sink);
  if (run.sinkUri === null || run.sinkUri === binding.sink.uri) return binding;
  throw new UdmSyncError(
    'ERR_SINK_MOVED',
    `Run ${run.id} has files in ${run.sinkUri}, but the sink "${run.sink}" is now ${binding.sink.uri}.`,
    {
      hint: `Give the new place a new name under sinks, or move the objects and the sink back; the run waits.`,
    },
  );
}
