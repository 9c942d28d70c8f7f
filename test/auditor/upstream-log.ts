import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { digestContent } from '../../simulator/content.ts';

/** An upstream job, whoever made it. Times are simulated, ISO. */
export interface UpstreamJob {
  readonly id: string;
  readonly title: string;
  readonly createdAt: string;
  readonly endedAt: string | undefined;
  readonly deletedAt: string | undefined;
  /** Its history entries that have ended. */
  readonly runs: { readonly id: string; readonly state: string; deletedAt: string | undefined }[];
}

/** A file that the upstream ever made, and what its bytes are. Times are simulated, ISO. */
export interface UpstreamFile {
  readonly tenant: string;
  readonly name: string;
  readonly generation: number;
  /** Bytes. */
  readonly size: number;
  /** Eight hex digits. */
  readonly crc32: string;
  readonly sha256: string;
  readonly jobId: string | undefined;
  readonly historyId: string | undefined;
  readonly createdAt: string;
  readonly deletedAt: string | undefined;
  readonly deletedBy: 'client' | 'vendor' | undefined;
}

const request = z.object({
  event: z.literal('request'),
  seq: z.number(),
  /** Simulated. */
  at: z.string(),
  wallTime: z.string(),
  method: z.string(),
  endpoint: z.string(),
  path: z.string(),
  query: z.record(z.string(), z.string()),
  faults: z.array(z.string()),
  jobs: z.array(z.string()),
  deletedFiles: z.array(z.string()),
});
const done = z.object({ event: z.literal('done') });
const by = z.enum(['client', 'vendor']);
const fact = z.discriminatedUnion('fact', [
  z.object({ fact: z.literal('job-made'), job: z.string(), title: z.string(), at: z.string() }),
  z.object({
    fact: z.literal('job-ended'),
    job: z.string(),
    history: z.string(),
    state: z.string(),
    at: z.string(),
  }),
  z.object({ fact: z.literal('history-deleted'), job: z.string(), history: z.string(), at: z.string() }),
  z.object({ fact: z.literal('job-deleted'), job: z.string(), at: z.string() }),
  z.object({
    fact: z.literal('file-made'),
    seed: z.string(),
    tenant: z.string(),
    name: z.string(),
    generation: z.number(),
    size: z.number(),
    job: z.string().optional(),
    history: z.string().optional(),
    at: z.string(),
  }),
  z.object({
    fact: z.literal('file-deleted'),
    tenant: z.string(),
    name: z.string(),
    generation: z.number(),
    by,
    at: z.string(),
  }),
]);

export type UpstreamRequest = z.infer<typeof request>;

/** What the upstream itself wrote down. */
export interface UpstreamLog {
  /** The simulated time of the last line, ISO. */
  readonly now: string;
  readonly jobs: UpstreamJob[];
  readonly upstreamFiles: UpstreamFile[];
  readonly requests: UpstreamRequest[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Reads the simulator's log (JSON lines) and computes the true digest of every file from what decides its bytes.
 * A last line that is cut off is passed over: its answer never left.
 */
export async function readUpstreamLog(path: string): Promise<UpstreamLog> {
  const jobs = new Map<string, Mutable<UpstreamJob>>();
  const files: (Mutable<Omit<UpstreamFile, 'crc32' | 'sha256'>> & { readonly seed: string })[] = [];
  const requests: UpstreamRequest[] = [];
  let now = '';
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    const value = parsed(line);
    if (value === undefined || done.safeParse(value).success) continue;
    const asRequest = request.safeParse(value);
    if (asRequest.success) {
      requests.push(asRequest.data);
      now = asRequest.data.at;
      continue;
    }
    const told = fact.parse(value);
    if (told.at > now) now = told.at;
    switch (told.fact) {
      case 'job-made':
        jobs.set(told.job, {
          id: told.job,
          title: told.title,
          createdAt: told.at,
          endedAt: undefined,
          deletedAt: undefined,
          runs: [],
        });
        break;
      case 'job-ended': {
        const job = jobs.get(told.job);
        job?.runs.push({ id: told.history, state: told.state, deletedAt: undefined });
        if (job) job.endedAt = told.at;
        break;
      }
      case 'history-deleted': {
        const entry = jobs.get(told.job)?.runs.find(({ id }) => id === told.history);
        if (entry) entry.deletedAt = told.at;
        break;
      }
      case 'job-deleted': {
        const job = jobs.get(told.job);
        if (job) job.deletedAt = told.at;
        break;
      }
      case 'file-made': {
        const { job: jobId, history: historyId, at: createdAt, seed, tenant, name, generation, size } = told;
        // A file that changed is the same file with other bytes.
        const same = files.find(
          (file) =>
            file.tenant === tenant &&
            file.name === name &&
            file.historyId === historyId &&
            file.deletedAt === undefined,
        );
        if (same) same.generation = generation;
        else
          files.push({
            seed,
            tenant,
            name,
            generation,
            size,
            jobId,
            historyId,
            createdAt,
            deletedAt: undefined,
            deletedBy: undefined,
          });
        break;
      }
      case 'file-deleted': {
        const { tenant, name, generation } = told;
        const gone = files.find(
          (file) => file.tenant === tenant && file.name === name && file.generation === generation,
        );
        if (gone) Object.assign(gone, { deletedAt: told.at, deletedBy: told.by });
        break;
      }
    }
  }
  const upstreamFiles: UpstreamFile[] = [];
  for (const { seed, ...file } of files) {
    const { crc32, sha256 } = await digestContent({ seed, ...file });
    upstreamFiles.push({ ...file, crc32, sha256 });
  }
  return { now, jobs: [...jobs.values()], upstreamFiles, requests };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
