import type pg from 'pg';
import type { Question } from './loop.ts';
import { planOf, timeOf } from './plans.ts';
import type { Plan } from './plans.ts';
import { statementsOf } from './recorder.ts';
import type { Statement } from './recorder.ts';

/** One statement, measured. */
export interface Measured extends Asked, Plan {
  /** Median, in ms. */
  readonly ms: number;
  readonly rows: number;
}

/** Locks, clocks and lines of history. */
const everywhere = /pg_advisory|clock_timestamp|into "udm_sync"."history"/;

/** A statement of the product, and what it belongs to. */
export interface Asked {
  readonly who: Question['who'];
  /** The question, and which of its statements. */
  readonly name: string;
  readonly statement: Statement;
}

/** Asks everything once to learn the statements; those that come with every question are named once. */
export async function statementsOfAll(questions: readonly Question[]): Promise<Asked[]> {
  const asked: Asked[] = [];
  const known = new Set<string>();
  for (const { who, name, ask } of questions) {
    const statements = await statementsOf(ask);
    for (const statement of statements) {
      const id = everywhere.test(statement.text) ? statement.text : JSON.stringify(statement);
      if (statements.length > 1 && known.has(id)) continue;
      known.add(id);
      const label = statements.length === 1 ? name : `${name}: ${gist(statement.text)}`;
      asked.push({ who, name: label, statement });
    }
  }
  return asked;
}

/** Explains each statement and times it `times` times. */
export async function measure(
  client: pg.Client,
  asked: readonly Asked[],
  times: number,
): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const one of asked) {
    const plan = await planOf(client, one.statement);
    measured.push({ ...one, ...plan, ...(await timeOf(client, one.statement, times)) });
  }
  return measured;
}

/** What tells statements on one table apart. */
const kinds: readonly (readonly [RegExp, string])[] = [
  [/pg_advisory_xact_lock\(hashtext/, 'lock'],
  [/clock_timestamp\(\)\) \* 1000/, 'the time'],
  [/covered_until/, 'gaps'],
  [/recursive known/, 'names of definitions'],
  [/as doneUntil/, 'how a definition stands'],
  [/^select count\(/, 'how many'],
  [/order by \S+ asc limit/, 'the first'],
  [/step_failures.* > /, 'tried again'],
  [/order by \S+ desc limit/, 'the last'],
  [/order by \S+ desc, \S+ desc limit/, 'the newest'],
];

/** A statement in a few words: its verb and its first table, and what tells it apart. */
function gist(text: string): string {
  const flat = text.replaceAll('"', '').replace(/\s+/g, ' ');
  const kind = kinds.find(([pattern]) => pattern.test(flat))?.[1];
  const verb = /^(?:with .*?\b)?(select|insert|update|delete)\b/i.exec(flat)?.[1]?.toLowerCase() ?? 'call';
  const table = /\b(?:from|into|update)\s+(?:udm_sync(?:_queue)?\.)([a-z_]+)/i.exec(flat)?.[1];
  if (table === undefined) return kind ?? flat.slice(0, 40);
  return kind === undefined ? `${verb} ${table}` : `${table}, ${kind}`;
}
