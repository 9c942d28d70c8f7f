import type { Config } from '../config/config.ts';
import { databaseNow, readSnapshot } from '../store/database.ts';
import type { Database } from '../store/database.ts';
import { definitionsWithRuns } from '../store/report.ts';
import { csvReport } from './csv.ts';
import type { ReportScope } from './entries.ts';
import { htmlReport } from './html-page.ts';
import { jsonReport } from './json.ts';
import { summarise } from './summary.ts';
import type { Summary, Totals } from './summary.ts';
import type { Executor } from '../store/database.ts';

export const reportFormats = ['json', 'csv', 'html'] as const;
export type ReportFormat = (typeof reportFormats)[number];

/** What a format is made from: all of it is one picture of the database. */
export interface ReportInput {
  readonly db: Executor;
  readonly scope: ReportScope;
  readonly summary: Summary;
  /** The one definition asked for, if it was one. */
  readonly only: string | undefined;
}

export interface ReportQuestion {
  /** Windows that begin in [from, to), UTC. */
  readonly from: Date;
  readonly to: Date;
  readonly format: ReportFormat;
  /** Only this definition; else all that the config has or that have runs. */
  readonly definition: string | undefined;
}

const formats = { json: jsonReport, csv: csvReport, html: htmlReport };

/**
 * Reads what became of the windows of a range and hands the report to `write`, as text in pieces that are made while
 * they are taken. Resolves to what it adds up to.
 */
export function report(
  db: Database,
  config: Config,
  { from, to, format, definition }: ReportQuestion,
  write: (text: AsyncIterable<string>) => Promise<void>,
): Promise<Totals> {
  return readSnapshot(db, async (tx) => {
    const names =
      definition === undefined
        ? new Set([...Object.keys(config.definitions), ...(await definitionsWithRuns(tx))])
        : [definition];
    const definitions = [...names].map((name) => ({
      name,
      settings: Object.hasOwn(config.definitions, name) ? config.definitions[name] : undefined,
    }));
    const scope = { from, to, definitions, now: await databaseNow(tx) };
    const summary = await summarise(tx, scope);
    await write(inChunks(formats[format]({ db: tx, scope, summary, only: definition })));
    return summary.totals;
  });
}

const chunkLength = 64 * 1024;

/** Fewer, larger pieces: each costs a turn of the event loop. */
async function* inChunks(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let chunk = '';
  for await (const piece of pieces) {
    chunk += piece;
    if (chunk.length < chunkLength) continue;
    yield chunk;
    chunk = '';
  }
  if (chunk !== '') yield chunk;
}
