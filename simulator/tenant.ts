import { createHash } from 'node:crypto';
import type { SimClock } from './clock.ts';
import type { ContentKey } from './content.ts';
import { defaultFiles } from './default-files.ts';
import type { JobRequest } from './job-request.ts';
import type { FileSpec, Settings, TenantCredentials } from './options.ts';
import type { Fact } from './records.ts';

/** What will go wrong with a job, decided when it was created. */
export interface JobFate {
  readonly kind: 'job-fails' | 'job-cancelled' | 'job-vanishes' | 'unknown-status';
  /** The progress (0 to 100) at which it happens. */
  readonly atProgress: number;
  readonly reason: string;
  /** The status word of `unknown-status`. */
  readonly word: string;
}

export type RunState = 'running' | 'suspended' | 'unknown' | 'completed' | 'failed' | 'cancelled';

/** One run of a job: what upstream calls a history entry. */
export interface Run {
  readonly id: string;
  readonly jobId: string;
  readonly createdAt: number;
  /** What goes wrong with this run; the job's own fate is that of every run. */
  readonly fate: JobFate | undefined;
  state: RunState;
  /** Simulated ms of work done before `runningSince`. */
  worked: number;
  runningSince: number;
  endedAt: number | undefined;
  reason: string | undefined;
  deletedAt: number | undefined;
}

export interface Job {
  readonly id: string;
  readonly createdAt: number;
  request: JobRequest;
  readonly fate: JobFate | undefined;
  suspended: boolean;
  /** When it was created or last resumed; it does not start before. */
  readyAt: number;
  readonly runs: Run[];
  deletedAt: number | undefined;
  deletedBy: 'client' | 'vendor' | undefined;
}

export interface StoredFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly announcedSize: number | undefined;
  readonly createdAt: number;
  readonly historyId: string | undefined;
  readonly jobId: string | undefined;
  readonly jobTitle: string;
  readonly source: string;
  readonly type: string;
  /** Rises with every new content under this name. */
  generation: number;
  lastModified: number;
  deletedAt: number | undefined;
  deletedBy: 'client' | 'vendor' | undefined;
}

export interface Certificate {
  readonly ccid: string;
  readonly name: string;
  readonly size: number;
  readonly lastModified: number;
}

/** A file put there without a job. */
export interface LooseFile extends FileSpec {
  readonly historyId?: string;
  readonly jobTitle?: string;
}

/**
 * One customer's jobs, runs, files and certificate. Time passes lazily: `settle()` brings everything to the
 * clock's now, so nothing depends on timers, and call it before reading.
 */
export class Tenant {
  readonly credentials: TenantCredentials;
  readonly jobs: Job[] = [];
  readonly files: StoredFile[] = [];
  certificate: Certificate | undefined;
  readonly #settings: Settings;
  readonly #clock: SimClock;
  readonly #note: (fact: Fact) => void;
  readonly #generations = new Map<string, number>();
  #lastId = 100_000;

  constructor(
    credentials: TenantCredentials,
    settings: Settings,
    clock: SimClock,
    note: (fact: Fact) => void,
  ) {
    this.credentials = credentials;
    this.#note = note;
    this.#settings = settings;
    this.#clock = clock;
    if (settings.certificate) {
      this.certificate = { ccid: this.#newId(), name: 'export.pem', size: 1310, lastModified: clock.now() };
    }
  }

  createJob(request: JobRequest, fate: JobFate | undefined): Job {
    const job: Job = {
      id: this.#newId(),
      createdAt: this.#clock.now(),
      request,
      fate,
      suspended: request.suspended,
      readyAt: this.#clock.now(),
      runs: [],
      deletedAt: undefined,
      deletedBy: undefined,
    };
    this.jobs.push(job);
    this.#note({
      fact: 'job-made',
      tenant: this.credentials.name,
      job: job.id,
      title: request.title,
      at: iso(job.createdAt),
    });
    this.settle();
    return job;
  }

  /** Makes a job run again at a moment, as its schedule would: it ends `exportDuration` later. */
  runJob(job: Job, at: number, fate: JobFate | undefined): Run {
    const run = this.#start(job, at, fate);
    this.settle();
    return run;
  }

  liveJob(id: string): Job | undefined {
    return this.jobs.find((job) => job.id === id && job.deletedAt === undefined);
  }

  /** History entries that exist, with their jobs. An entry outlives a deleted job only by being deleted with it. */
  liveRuns(): { readonly job: Job; readonly run: Run }[] {
    return this.jobs
      .flatMap((job) => job.runs.map((run) => ({ job, run })))
      .filter(({ run }) => run.deletedAt === undefined);
  }

  liveFiles(): StoredFile[] {
    return this.files.filter((file) => file.deletedAt === undefined);
  }

  /** The file a name stands for now: the newest, when several runs made the same name. */
  liveFile(name: string): StoredFile | undefined {
    return this.files.findLast((file) => file.name === name && file.deletedAt === undefined);
  }

  filesOf(run: Run): StoredFile[] {
    return this.liveFiles().filter((file) => file.historyId === run.id);
  }

  contentKey(file: Pick<StoredFile, 'name' | 'generation' | 'size'>): ContentKey {
    return {
      seed: this.#settings.seed,
      tenant: this.credentials.name,
      name: file.name,
      generation: file.generation,
      size: file.size,
    };
  }

  /** 0 to 100; only a completed run shows 100. */
  progress(run: Run): number {
    if (run.state === 'completed') return 100;
    const share = this.#workDone(run) / this.#settings.exportDuration;
    return Math.max(0, Math.min(99, Math.floor(share * 100)));
  }

  /** Ends what has ended by now, starts what was due, and lets the vendor delete files that are too old. */
  settle(): void {
    const now = this.#clock.now();
    for (const job of this.jobs) {
      if (job.deletedAt !== undefined) continue;
      this.#startIfDue(job, now);
      for (const run of job.runs) if (run.state === 'running') this.#advance(job, run, now);
    }
    for (const file of this.files) {
      const due = file.createdAt + this.#settings.fileLifetime;
      if (file.deletedAt === undefined && due <= now) this.#remove(file, 'vendor', due);
    }
  }

  suspend(job: Job): boolean {
    if (job.suspended) return false;
    const run = liveRun(job);
    if (!run && job.runs.length > 0) return false;
    job.suspended = true;
    if (run) {
      run.worked = this.#workDone(run);
      run.state = 'suspended';
    }
    return true;
  }

  resume(job: Job): boolean {
    if (!job.suspended) return false;
    job.suspended = false;
    job.readyAt = this.#clock.now();
    const run = liveRun(job);
    if (run) {
      run.state = 'running';
      run.runningSince = this.#clock.now();
    }
    this.settle();
    return true;
  }

  cancel(job: Job): boolean {
    const run = liveRun(job);
    if (!run) return false;
    run.worked = this.#workDone(run);
    this.#end(run, 'cancelled', this.#clock.now(), 'Cancelled by user');
    return true;
  }

  /** Deletes a history entry and the files it owns; answers the names of those files. */
  deleteRun(run: Run): string[] {
    const names = this.filesOf(run).map((file) => file.name);
    for (const name of names) this.deleteFile(name);
    run.deletedAt = this.#clock.now();
    this.#note({ fact: 'history-deleted', job: run.jobId, history: run.id, at: iso(run.deletedAt) });
    return names;
  }

  /** Deletes a job, its history and their files; answers the names of those files. */
  deleteJob(job: Job): string[] {
    this.#removeJob(job, 'client', this.#clock.now());
    return job.runs.filter((run) => run.deletedAt === undefined).flatMap((run) => this.deleteRun(run));
  }

  /** Deletes the object of this name, and with it every entry that points to it. */
  deleteFile(name: string): boolean {
    const gone = this.liveFiles().filter((file) => file.name === name);
    for (const file of gone) this.#remove(file, 'client', this.#clock.now());
    return gone.length > 0;
  }

  /** Gives the file another content of the same size, and so another ETag. */
  changeFile(file: StoredFile): void {
    file.generation = this.#nextGeneration(file.name);
    file.lastModified = this.#clock.now();
    this.#noteMade(file, file.lastModified);
  }

  addFile(file: LooseFile): void {
    this.#store(file, this.#clock.now(), {
      historyId: file.historyId,
      jobId: undefined,
      jobTitle: file.jobTitle ?? '',
      source: 'UCSX',
      type: 'Interactions',
    });
  }

  setCertificate(name: string, size: number): void {
    this.certificate = { ccid: this.#newId(), name, size, lastModified: this.#clock.now() };
  }

  #startIfDue(job: Job, now: number): void {
    const due = job.request.immediately ? job.createdAt : job.request.startDate;
    if (job.suspended || job.runs.length > 0 || due === undefined || due > now) return;
    this.#start(job, Math.max(due, job.readyAt), undefined);
  }

  #start(job: Job, startedAt: number, fate: JobFate | undefined): Run {
    const run: Run = {
      id: this.#newId(),
      jobId: job.id,
      createdAt: startedAt,
      fate: fate ?? job.fate,
      state: 'running',
      worked: 0,
      runningSince: startedAt,
      endedAt: undefined,
      reason: undefined,
      deletedAt: undefined,
    };
    job.runs.push(run);
    return run;
  }

  #advance(job: Job, run: Run, now: number): void {
    const duration = this.#settings.exportDuration;
    const { fate } = run;
    const until = fate ? (duration * fate.atProgress) / 100 : duration;
    const at = Math.ceil(run.runningSince + Math.max(0, until - run.worked));
    if (at > now) return;
    run.worked = until;
    switch (fate?.kind) {
      case undefined:
        return this.#complete(job, run, at);
      case 'job-fails':
        return this.#end(run, 'failed', at, fate.reason);
      case 'job-cancelled':
        return this.#end(run, 'cancelled', at, fate.reason);
      case 'unknown-status':
        run.state = 'unknown';
        return;
      case 'job-vanishes':
        this.#end(run, 'failed', at, 'vanished');
        run.deletedAt = at;
        this.#removeJob(job, 'vendor', at);
    }
  }

  #complete(job: Job, run: Run, at: number): void {
    this.#end(run, 'completed', at, undefined);
    const { request } = job;
    const view = {
      id: job.id,
      tenant: this.credentials.name,
      title: request.title,
      source: request.source,
      type: request.type,
      fileSplitSize: request.fileSplitSize,
      run: job.runs.indexOf(run),
    };
    const specs = this.#settings.filesFor
      ? this.#settings.filesFor(view, request.window)
      : defaultFiles(this.#settings.seed, this.#settings.fileSize, view, request.window);
    for (const spec of specs) {
      this.#store(spec, at, {
        historyId: run.id,
        jobId: job.id,
        jobTitle: request.title,
        source: request.source,
        type: request.type,
      });
    }
  }

  #store(
    spec: FileSpec,
    at: number,
    origin: Pick<StoredFile, 'historyId' | 'jobId' | 'jobTitle' | 'source' | 'type'>,
  ): void {
    const file: StoredFile = {
      ...origin,
      name: spec.name,
      size: spec.size,
      announcedSize: this.#settings.announcedSize(spec),
      createdAt: at,
      generation: this.#nextGeneration(spec.name),
      lastModified: at,
      deletedAt: undefined,
      deletedBy: undefined,
    };
    this.files.push(file);
    this.#noteMade(file, at);
  }

  #end(run: Run, state: RunState, at: number, reason: string | undefined): void {
    run.state = state;
    run.endedAt = at;
    run.reason = reason;
    this.#note({ fact: 'job-ended', job: run.jobId, history: run.id, state, at: iso(at) });
  }

  #removeJob(job: Job, by: 'client' | 'vendor', at: number): void {
    job.deletedAt = at;
    job.deletedBy = by;
    this.#note({ fact: 'job-deleted', job: job.id, by, at: iso(at) });
  }

  #remove(file: StoredFile, by: 'client' | 'vendor', at: number): void {
    file.deletedAt = at;
    file.deletedBy = by;
    const { name, generation } = file;
    this.#note({
      fact: 'file-deleted',
      tenant: this.credentials.name,
      name,
      generation,
      by,
      at: iso(at),
    });
  }

  #noteMade({ name, generation, size, jobId, historyId }: StoredFile, at: number): void {
    this.#note({
      fact: 'file-made',
      seed: this.#settings.seed,
      tenant: this.credentials.name,
      name,
      generation,
      size,
      job: jobId,
      history: historyId,
      at: iso(at),
    });
  }

  #workDone(run: Run): number {
    return run.state === 'running' ? run.worked + this.#clock.now() - run.runningSince : run.worked;
  }

  #nextGeneration(name: string): number {
    const next = (this.#generations.get(name) ?? 0) + 1;
    this.#generations.set(name, next);
    return next;
  }

  #newId(): string {
    this.#lastId += 1;
    if (this.#settings.numericIds) return String(this.#lastId);
    const hex = createHash('sha256')
      .update(JSON.stringify([this.#settings.seed, this.credentials.name, this.#lastId]))
      .digest('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  }
}

/** The run of a job that has not ended, if any. Such a job cannot be deleted. */
export function liveRun(job: Job): Run | undefined {
  return job.runs.find(isLive);
}

export function isLive(run: Run): boolean {
  return run.state === 'running' || run.state === 'suspended' || run.state === 'unknown';
}

const iso = (time: number) => new Date(time).toISOString();
