import type { Activity } from '../store/overview.ts';
import type { Executor } from '../store/database.ts';
import { isWanted, windowEntries } from './entries.ts';
import type { Outcome, ReportScope, WindowEntry } from './entries.ts';

/** What a report adds up to. Sizes are bytes. */
export interface Totals {
  readonly windows: Record<Outcome, number>;
  readonly files: {
    /** In the sink, verified, and no longer upstream. */
    deleted: number;
    /** In the sink, verified, and still upstream. */
    verified: number;
    waiting: number;
    /** Given up; still upstream. */
    dead: number;
    /** Gone upstream before they were copied. */
    lost: number;
    /** Not copied and not wanted: of an earlier attempt, or of a window that was cancelled. */
    setAside: number;
  };
  /** Of the verified and the deleted. */
  bytes: number;
  /** How far the storage of the verified and the deleted was proven. */
  readonly proofs: { size: number; checksum: number; read: number };
}

export interface Summary {
  readonly totals: Totals;
  readonly definitions: readonly { readonly name: string; readonly totals: Totals }[];
  /** What happened by the time at which windows begin. `errors`: windows failed or not planned, files dead or lost. */
  readonly chart: { readonly unit: 'hour' | 'day' | 'month'; readonly bars: readonly Activity[] };
  /** The first windows that are not done, and how many there are. */
  readonly attention: { readonly shown: readonly WindowEntry[]; readonly count: number };
}

const attentionShown = 200;

/** Whether everything that is due in the range is verified in the sink. */
export function isComplete({ windows, files }: Totals): boolean {
  const left = windows['under-way'] + windows.failed + windows.cancelled + windows['not-planned'];
  return left + files.waiting + files.dead + files.lost === 0;
}

/** Goes through all windows once, without their files. */
export async function summarise(db: Executor, scope: ReportScope): Promise<Summary> {
  const totals = nothing();
  const chart = emptyChart(scope.from, scope.to);
  const shown: WindowEntry[] = [];
  let attention = 0;
  const definitions = [];
  for (const definition of scope.definitions) {
    const own = nothing();
    for await (const entry of windowEntries(db, scope, definition)) {
      add(own, entry);
      add(totals, entry);
      chart.add(entry);
      if (entry.outcome === 'done') continue;
      attention += 1;
      if (shown.length < attentionShown) shown.push(entry);
    }
    definitions.push({ name: definition.name, totals: own });
  }
  return {
    totals,
    definitions,
    chart: { unit: chart.unit, bars: chart.bars },
    attention: { shown, count: attention },
  };
}

function nothing(): Totals {
  return {
    windows: { done: 0, 'under-way': 0, failed: 0, cancelled: 0, 'not-planned': 0 },
    files: { deleted: 0, verified: 0, waiting: 0, dead: 0, lost: 0, setAside: 0 },
    bytes: 0,
    proofs: { size: 0, checksum: 0, read: 0 },
  };
}

function add(totals: Totals, entry: WindowEntry): void {
  totals.windows[entry.outcome] += entry.kind === 'gap' ? entry.windows : 1;
  if (entry.kind === 'gap') return;
  const { run } = entry;
  const { files, proofs } = totals;
  files.deleted += run.deleted;
  files.verified += run.verified;
  if (isWanted(run)) {
    files.waiting += run.waiting;
    files.dead += run.dead;
    files.lost += run.lost;
  } else files.setAside += run.waiting + run.dead + run.lost;
  totals.bytes += run.bytes;
  proofs.size += run.bySize;
  proofs.checksum += run.byChecksum;
  proofs.read += run.byRead;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** A bar for each hour of up to two days, each day of up to a year or so, else each month. */
export function emptyChart(from: Date, to: Date) {
  const lengthMs = to.getTime() - from.getTime();
  const unit = lengthMs <= 2 * dayMs ? 'hour' : lengthMs <= 400 * dayMs ? 'day' : 'month';
  const bars: { at: Date; bytes: number; files: number; errors: number }[] = [];
  for (let at = begin(unit, from); at < to; at = following(unit, at))
    bars.push({ at, bytes: 0, files: 0, errors: 0 });
  const byTime = new Map(bars.map((bar) => [bar.at.getTime(), bar]));
  return {
    unit,
    bars,
    add(entry: WindowEntry): void {
      const bar = byTime.get(begin(unit, entry.kind === 'run' ? entry.run.from : entry.from).getTime());
      if (!bar) return;
      if (entry.kind === 'gap') {
        bar.errors += entry.windows;
        return;
      }
      const { run, outcome } = entry;
      bar.bytes += run.bytes;
      bar.files += run.verified + run.deleted;
      bar.errors += (outcome === 'failed' ? 1 : 0) + (isWanted(run) ? run.dead + run.lost : 0);
    },
  } as const;
}

function begin(unit: 'hour' | 'day' | 'month', at: Date): Date {
  if (unit === 'month') return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth()));
  const ms = unit === 'hour' ? hourMs : dayMs;
  return new Date(Math.floor(at.getTime() / ms) * ms);
}

function following(unit: 'hour' | 'day' | 'month', at: Date): Date {
  if (unit === 'month') return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1));
  return new Date(at.getTime() + (unit === 'hour' ? hourMs : dayMs));
}
