import { sql } from 'drizzle-orm';
import type { Config, DefinitionConfig } from '../config/config.ts';
import { expiryBounds } from '../jobs/expiry.ts';
import { owedStretch, readStandings } from '../jobs/standing.ts';
import type { Standing } from '../jobs/standing.ts';
import type { Window } from '../jobs/windows.ts';
import { databaseNow, transact } from '../store/database.ts';
import type { Database, Transaction } from '../store/database.ts';
import { expirySummaryOf } from '../store/expiry.ts';
import {
  activity,
  exportsUnderWay,
  filesByDaysLeft,
  filesExpiringFirst,
  runsPage,
  transferQueue,
  transfersUnderWay,
  windowsTouching,
} from '../store/overview.ts';
import type { Activity } from '../store/overview.ts';
import { filesAtRisk } from '../store/status.ts';
import { dayMs, dayOf, spansOf } from './calendar.ts';
import type { Span } from './calendar.ts';

/** So many of each are shown at most. */
export const shown = { exports: 50, transfers: 50, runs: 10, files: 8 } as const;

/** Days in the strips, today included. */
const stripDays = 30;

/** Reads everything a page shows in one snapshot that can change nothing, and gives up on what takes too long. */
export function snapshot<T>(
  db: Database,
  read: (tx: Transaction) => Promise<T>,
  timeoutMs = 15_000,
): Promise<T> {
  return transact(db, async (tx) => {
    await tx.execute(sql`set transaction isolation level repeatable read, read only`);
    await tx.execute(sql`set local statement_timeout = ${sql.raw(String(timeoutMs))}`);
    return read(tx);
  });
}

/** A definition with its windows in the stretch that is shown. */
export interface DefinitionRow extends Standing {
  readonly tenant: string | undefined;
  readonly sink: string | undefined;
  readonly lengthMs: number;
  readonly spans: readonly Span[];
}

export type Overview = Awaited<ReturnType<typeof readOverview>>;

/**
 * What the first page shows.
 *
 * @param month the calendar month whose windows are shown; undefined: the last 30 days
 * @param charts what the charts show, from wherever it is kept
 */
export async function readOverview(
  tx: Transaction,
  config: Pick<Config, 'definitions' | 'retention'>,
  month: Window | undefined,
  charts: (tx: Transaction) => Promise<Charts>,
) {
  const now = await databaseNow(tx);
  const configured = Object.values(config.definitions);
  const today = dayOf(now).getTime();
  const view = month ?? { from: new Date(today - (stripDays - 1) * dayMs), to: new Date(today + dayMs) };
  return {
    now,
    view,
    definitions: await readDefinitions(tx, configured, await readStandings(tx, configured, now), view, now),
    files: await filesAtRisk(tx),
    levels: await expirySummaryOf(tx, expiryBounds(config.retention, now)),
    exports: await exportsUnderWay(tx, shown.exports),
    transfers: await transfersUnderWay(tx, shown.transfers),
    queue: await transferQueue(tx),
    failed: await runsPage(tx, { states: ['failed'], limit: shown.runs }),
    struggling: await runsPage(tx, { struggling: true, limit: shown.runs }),
    expiry: await filesByDaysLeft(tx),
    expiring: await filesExpiringFirst(tx, shown.files),
    charts: await charts(tx),
  };
}

/** How definitions stand, each with its windows in `view`. */
export async function readDefinitions(
  tx: Transaction,
  configured: readonly DefinitionConfig[],
  standings: readonly Standing[],
  view: Window,
  now: Date,
): Promise<DefinitionRow[]> {
  const windows = Map.groupBy(
    await windowsTouching(
      tx,
      standings.map(({ definition }) => definition),
      view.from,
      view.to,
    ),
    ({ definition }) => definition,
  );
  const rows: DefinitionRow[] = [];
  for (const standing of standings) {
    const known = configured.find(({ name }) => name === standing.definition);
    const lengthMs = known?.windows.lengthMs ?? 3_600_000;
    const owed = known && (await owedStretch(tx, known, now));
    rows.push({
      ...standing,
      tenant: known?.tenant,
      sink: known?.sink,
      lengthMs,
      spans: spansOf(view, windows.get(standing.definition) ?? [], owed, lengthMs),
    });
  }
  return rows;
}

export interface Charts {
  readonly day: readonly Activity[];
  readonly month: readonly Activity[];
}

/** The charts change slowly and read the most: they are read anew every 10 s and every minute. */
export class ChartKeeper {
  #day: { readonly atMs: number; readonly rows: readonly Activity[] } | undefined;
  #month: { readonly atMs: number; readonly rows: readonly Activity[] } | undefined;

  async read(tx: Transaction, nowMs: number): Promise<Charts> {
    if (!this.#day || this.#day.atMs < nowMs - 10_000)
      this.#day = { atMs: nowMs, rows: await activity(tx, 'hour', 24) };
    if (!this.#month || this.#month.atMs < nowMs - 60_000)
      this.#month = { atMs: nowMs, rows: await activity(tx, 'day', 30) };
    return { day: this.#day.rows, month: this.#month.rows };
  }
}
