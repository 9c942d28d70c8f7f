import type { Config } from '../config/config.ts';
import { databaseNow } from '../store/database.ts';
import { countOld, countPrunable, nothingPruned, pruneBatch } from '../store/pruning.ts';
import type { Pruned, PruneCursor, Retention } from '../store/pruning.ts';
import type { Pipeline } from './context.ts';

const dayMs = 86_400_000;
/** The vendor may be late in deleting, and clocks may differ. */
const marginMs = 10 * dayMs;
/** What 30 days, the vendor's usual time, come to. */
const leastKeepMs = 40 * dayMs;

/** Details of runs are kept at least this long: the upstream may have the files until then, and use their names anew. */
export function shortestKeepMs({ retention }: Pick<Config, 'retention'>): number {
  return Math.max(leastKeepMs, retention.keepForMs + marginMs);
}

type Store = Pick<Pipeline, 'config' | 'db'>;

export interface PruneReport extends Pruned {
  /** Runs that finished before this, on Postgres' clock, were looked at. */
  readonly before: Date;
  /** Old enough, but held back: the upstream has, or may have, files of theirs. */
  readonly held: number;
}

async function retentionOf({ config, db }: Store, keepMs: number): Promise<Retention> {
  if (keepMs < shortestKeepMs(config)) throw new Error(`${keepMs} ms is less than details must be kept`);
  const now = (await databaseNow(db)).getTime();
  return {
    before: new Date(now - keepMs),
    expiredBefore: new Date(now - marginMs),
    keepingUpstream: Object.values(config.definitions)
      .filter((definition) => definition.delete === 'nothing')
      .map((definition) => definition.name),
  };
}

/**
 * Deletes files and history of runs that finished longer ago than `keepMs`, batch by batch, until nothing is
 * left or `signal` is aborted. What is deleted nowhere are the runs: their windows stay done.
 *
 * @param keepMs at least what `shortestKeepMs` says
 */
export async function prune(store: Store, keepMs: number, signal: AbortSignal): Promise<PruneReport> {
  const retention = await retentionOf(store, keepMs);
  let total = nothingPruned;
  let cursor: PruneCursor | undefined;
  while (!signal.aborted) {
    const { next, ...gone } = await pruneBatch(store.db, retention, cursor);
    total = {
      runs: total.runs + gone.runs,
      files: total.files + gone.files,
      lines: total.lines + gone.lines,
    };
    if (!next) break;
    cursor = next;
  }
  return { ...total, before: retention.before, held: await countOld(store.db, retention) };
}

/** What `prune` would delete now. */
export async function prunePreview(store: Store, keepMs: number): Promise<PruneReport> {
  const retention = await retentionOf(store, keepMs);
  const would = await countPrunable(store.db, retention);
  const old = await countOld(store.db, retention);
  return { ...would, before: retention.before, held: old - would.runs };
}
