import { isLive, liveRun, type Tenant } from './tenant.ts';

/** What upstream knows, for auditors. Times are simulated, ISO; deleted things stay listed. */
export interface SimulatorState {
  readonly now: string;
  readonly jobs: readonly JobState[];
  readonly files: readonly FileState[];
}

export interface JobState {
  readonly tenant: string;
  readonly id: string;
  readonly title: string;
  readonly source: string;
  readonly type: string;
  /** The timeFrame; undefined for "all". */
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Whether a run of it has not ended. */
  readonly live: boolean;
  readonly createdAt: string;
  /** When its last run ended. */
  readonly endedAt: string | undefined;
  readonly deletedAt: string | undefined;
  readonly deletedBy: 'client' | 'vendor' | undefined;
  readonly runs: readonly {
    readonly id: string;
    readonly state: string;
    readonly live: boolean;
    readonly progress: number;
    readonly createdAt: string;
    readonly endedAt: string | undefined;
    readonly deletedAt: string | undefined;
  }[];
}

export interface FileState {
  readonly tenant: string;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly generation: number;
  readonly historyId: string | undefined;
  readonly jobId: string | undefined;
  readonly createdAt: string;
  readonly deletedAt: string | undefined;
  readonly deletedBy: 'client' | 'vendor' | undefined;
}

export function describeState(tenants: readonly Tenant[], now: number): SimulatorState {
  for (const tenant of tenants) tenant.settle();
  return {
    now: iso(now),
    jobs: tenants.flatMap((tenant) =>
      tenant.jobs.map((job) => ({
        tenant: tenant.credentials.name,
        id: job.id,
        title: job.request.title,
        source: job.request.source,
        type: job.request.type,
        from: job.request.window.from?.toISOString(),
        to: job.request.window.to?.toISOString(),
        live: liveRun(job) !== undefined,
        createdAt: iso(job.createdAt),
        endedAt: optional(job.runs.at(-1)?.endedAt),
        deletedAt: optional(job.deletedAt),
        deletedBy: job.deletedBy,
        runs: job.runs.map((run) => ({
          id: run.id,
          state: run.state,
          live: isLive(run),
          progress: tenant.progress(run),
          createdAt: iso(run.createdAt),
          endedAt: optional(run.endedAt),
          deletedAt: optional(run.deletedAt),
        })),
      })),
    ),
    files: tenants.flatMap((tenant) =>
      tenant.files.map((file) => ({
        tenant: tenant.credentials.name,
        name: file.name,
        size: file.size,
        generation: file.generation,
        historyId: file.historyId,
        jobId: file.jobId,
        createdAt: iso(file.createdAt),
        deletedAt: optional(file.deletedAt),
        deletedBy: file.deletedBy,
      })),
    ),
  };
}

const iso = (time: number) => new Date(time).toISOString();
const optional = (time: number | undefined) => (time === undefined ? undefined : iso(time));
