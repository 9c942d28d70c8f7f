import type { EventEmitter } from 'node:events';
import type { Config, DefinitionConfig } from '../config/config.ts';
import { UdmSyncError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Queue } from '../queue/queue.ts';
import type { Sink } from '../sinks/sink.ts';
import type { Database } from '../store/database.ts';
import type { Run, RunState } from '../store/runs.ts';
import type { UdmClient } from '../udm/types.ts';

/** What the pipeline tells whoever shows it; nothing depends on anyone listening. */
export interface PipelineEvents {
  run: [event: { run: Run; from: RunState; to: RunState; reason: string | undefined }];
  /** An export's progress, 0 to 100. */
  progress: [event: { run: Run; progress: number | undefined }];
  /** Bytes of one file handed to the sink so far. */
  bytes: [event: { run: Run; fileId: number; name: string; bytes: number; total: number | undefined }];
  file: [
    event: {
      run: Run;
      fileId: number;
      name: string;
      state: 'verified' | 'failed' | 'dead' | 'lost';
      bytes: number;
    },
  ];
  deleted: [event: { run: Run; files: number }];
}

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
  readonly events: EventEmitter<PipelineEvents>;
  /** This process, as history names it: host, pid and a random part. */
  readonly who: string;
  /** Aborted when the process wants to stop: finish what is short, give back the rest. */
  readonly draining: AbortSignal;
  upstream(tenant: string): UdmClient;
  sink(name: string): SinkBinding;
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
