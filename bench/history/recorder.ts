import pg from 'pg';

/** One statement as it went over the wire. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** What carries no plan: transactions, settings, notifications. */
const withoutPlan = /^\s*(begin|commit|rollback|set|listen|unlisten|notify|show|explain)\b/i;

/**
 * Runs `action` and returns every statement with a plan that this process sent to Postgres meanwhile, by whichever
 * pool (ours, pg-boss's), each text once.
 */
export async function statementsOf(action: () => Promise<unknown>): Promise<Statement[]> {
  const seen = new Map<string, Statement>();
  // Untyped on purpose: `query` has ten overloads, and this passes on whatever it gets.
  const prototype: { query: unknown } = pg.Client.prototype;
  const original = prototype.query;
  if (typeof original !== 'function') throw new Error('pg.Client has no query method');
  prototype.query = function (this: unknown, ...args: unknown[]): unknown {
    for (const statement of read(args)) if (!seen.has(statement.text)) seen.set(statement.text, statement);
    const answer: unknown = Reflect.apply(original, this, args);
    return answer;
  };
  try {
    await action();
  } finally {
    prototype.query = original;
  }
  return [...seen.values()];
}

function read([query, values]: unknown[]): Statement[] {
  const config = typeof query === 'object' && query !== null ? query : {};
  const text = typeof query === 'string' ? query : 'text' in config ? String(config.text) : '';
  const given = Array.isArray(values) ? values : 'values' in config ? config.values : [];
  const parameters: readonly unknown[] = Array.isArray(given) ? given : [];
  // pg-boss sends whole transactions as one text; only a text without parameters can hold several statements.
  const parts = parameters.length === 0 ? text.split(/;[ \t]*(?:\n|$)/) : [text];
  return parts
    .filter((part) => part.trim() !== '' && !withoutPlan.test(part))
    .map((part) => ({ text: part.trim(), values: parameters }));
}
