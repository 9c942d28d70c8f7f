import type { DefinitionConfig } from '../config/config.ts';
import { owedStretch } from '../jobs/standing.ts';
import { floorToGrid } from '../jobs/windows.ts';
import { uncovered } from '../store/coverage.ts';
import type { Executor } from '../store/database.ts';
import { reportFiles, reportRuns } from '../store/report.ts';
import type { ReportFile, ReportRange, ReportRun } from '../store/report.ts';

/** How a window stands. `not-planned`: it is due, and no run has it. */
export const outcomes = ['done', 'under-way', 'failed', 'cancelled', 'not-planned'] as const;
export type Outcome = (typeof outcomes)[number];

/** A window that has a run. */
export interface RunEntry {
  readonly kind: 'run';
  readonly outcome: Exclude<Outcome, 'not-planned'>;
  readonly run: ReportRun;
}

/** A stretch of one or more windows that are due and have no run. */
export interface GapEntry {
  readonly kind: 'gap';
  readonly outcome: 'not-planned';
  readonly definition: string;
  readonly from: Date;
  readonly to: Date;
  readonly windows: number;
}

export type WindowEntry = RunEntry | GapEntry;

/** A file of the run that came before it. */
export interface FileEntry {
  readonly kind: 'file';
  readonly file: ReportFile;
  readonly run: ReportRun;
}

/** What a report is about. */
export interface ReportScope {
  /** Windows that begin in [from, to), UTC. */
  readonly from: Date;
  readonly to: Date;
  readonly definitions: readonly {
    readonly name: string;
    /** Absent for one that has runs but left the config: nothing more is due then. */
    readonly settings: DefinitionConfig | undefined;
  }[];
  readonly now: Date;
}

/** Read at once; memory is bounded by them. */
const runsAtOnce = 500;
const filesAtOnce = 2000;

/** The windows of one definition by time. */
export async function* windowEntries(
  db: Executor,
  scope: ReportScope,
  { name, settings }: ReportScope['definitions'][number],
): AsyncGenerator<WindowEntry> {
  const gaps = settings ? await gapsOf(db, settings, scope) : [];
  let next = 0;
  for await (const page of runPages(db, { definition: name, from: scope.from, to: scope.to })) {
    for (const run of page) {
      for (let gap = gaps[next]; gap && gap.from < run.from; gap = gaps[next]) {
        yield gap;
        next += 1;
      }
      yield { kind: 'run', outcome: outcomeOf(run), run };
    }
  }
  yield* gaps.slice(next);
}

/** The same, each run followed by its files. */
export async function* entriesWithFiles(
  db: Executor,
  scope: ReportScope,
  definition: ReportScope['definitions'][number],
): AsyncGenerator<WindowEntry | FileEntry> {
  let batch: WindowEntry[] = [];
  let files = 0;
  for await (const entry of windowEntries(db, scope, definition)) {
    const more = entry.kind === 'run' ? entry.run.files : 0;
    if (batch.length >= runsAtOnce || (batch.length > 0 && files + more > filesAtOnce)) {
      yield* withFiles(db, batch);
      batch = [];
      files = 0;
    }
    batch.push(entry);
    files += more;
  }
  yield* withFiles(db, batch);
}

/** Several windows have few files together; one that has many stands alone, and is read page by page. */
async function* withFiles(
  db: Executor,
  batch: readonly WindowEntry[],
): AsyncGenerator<WindowEntry | FileEntry> {
  const ids = batch.flatMap((entry) => (entry.kind === 'run' && entry.run.files > 0 ? [entry.run.id] : []));
  let files = ids.length === 0 ? [] : await reportFiles(db, ids, undefined, filesAtOnce);
  const byRun = Map.groupBy(files, (file) => file.runId);
  for (const entry of batch) {
    yield entry;
    if (entry.kind === 'gap') continue;
    const { run } = entry;
    for (const file of byRun.get(run.id) ?? []) yield { kind: 'file', file, run };
    if (batch.length > 1) continue;
    for (let last = files.at(-1); last && files.length === filesAtOnce; last = files.at(-1)) {
      files = await reportFiles(db, ids, last, filesAtOnce);
      for (const file of files) yield { kind: 'file', file, run };
    }
  }
}

async function* runPages(db: Executor, range: ReportRange): AsyncGenerator<ReportRun[]> {
  let after: ReportRun | undefined;
  for (;;) {
    const page = await reportRuns(db, range, after, runsAtOnce);
    yield page;
    after = page.at(-1);
    if (!after || page.length < runsAtOnce) return;
  }
}

async function gapsOf(db: Executor, settings: DefinitionConfig, scope: ReportScope): Promise<GapEntry[]> {
  const owed = await owedStretch(db, settings, scope.now);
  if (!owed) return [];
  const from = owed.from > scope.from ? owed.from : scope.from;
  const to = owed.to < scope.to ? owed.to : scope.to;
  if (from >= to) return [];
  const { lengthMs } = settings.windows;
  return (await uncovered(db, settings.name, { from, to })).map((gap) => ({
    kind: 'gap',
    outcome: 'not-planned',
    definition: settings.name,
    ...gap,
    windows: windowsIn(gap.from, gap.to, lengthMs),
  }));
}

/** How many windows of the grid a stretch touches. */
export function windowsIn(from: Date, to: Date, lengthMs: number): number {
  const first = floorToGrid(from, lengthMs).getTime();
  return Math.ceil((to.getTime() - first) / lengthMs);
}

function outcomeOf({ state }: ReportRun): RunEntry['outcome'] {
  if (state === 'done' || state === 'failed' || state === 'cancelled') return state;
  return 'under-way';
}

/**
 * Whether a file that is not safe is still wanted: a run that is through has others, of a later attempt, and of a
 * cancelled one nothing is wanted.
 */
export function isOpen(file: ReportFile, run: ReportRun): boolean {
  return file.state !== 'verified' && file.state !== 'deleted' && isWanted(run);
}

/** Whether what a run has not copied is still wanted. */
export function isWanted({ state }: ReportRun): boolean {
  return state !== 'stored' && state !== 'done' && state !== 'cancelled';
}
