import { type Answer, emptyAnswer, jsonAnswer, refusal } from './answer.ts';
import type { Call } from './routes.ts';
import type { Paging } from './shapes.ts';

/** `from` and `size` as upstream takes them: strings, with a largest page. Undefined when they are no numbers. */
export function readPaging(call: Call): Paging | undefined {
  const from = call.query.get('from') || '0';
  const size = call.query.get('size') || '999999999';
  if (!/^\d+$/.test(from) || !/^\d+$/.test(size)) return undefined;
  const page = Math.min(Number(size), call.settings.maxPageSize);
  // The page before the one asked for, as a backend does whose cursor lags behind.
  const start = call.faults.has('duplicate-page') ? Math.max(0, Number(from) - page) : Number(from);
  return { from: start, size: page };
}

/** Whether an item passes the text filters of the query: each is a *contains*, in any case. */
export function passes(call: Call, fields: Readonly<Record<string, string | undefined>>): boolean {
  return Object.entries(fields).every(([parameter, value]) => {
    const wanted = call.query.get(parameter);
    return !wanted || (value ?? '').toLowerCase().includes(wanted.toLowerCase());
  });
}

/** Orders by creation. Only `orderField=createdDate` is heeded; without it the newest come first. */
export function ordered<T>(call: Call, items: readonly T[], createdAt: (item: T) => number): T[] {
  const ascending = call.query.get('orderField') === 'createdDate' && call.query.get('descAsc') === 'false';
  const sign = ascending ? 1 : -1;
  return items
    .map((item, index) => ({ item, index }))
    .sort((a, b) => sign * (createdAt(a.item) - createdAt(b.item) || a.index - b.index))
    .map(({ item }) => item);
}

export const badPaging = () => refusal(400, 'from and size must be numbers');

/**
 * A list-delete: every name that can be deleted goes, and the others come back as a JSON array in a 500.
 *
 * @param remove deletes one, or says why not.
 */
export function deleteList(
  call: Call,
  parameter: string,
  limit: number,
  remove: (name: string) => 'deleted' | 'refused' | 'unknown',
): Answer {
  const names = (call.query.get(parameter) ?? '').split(',').filter((name) => name !== '');
  if (names.length === 0) return refusal(400, `${parameter} is required`);
  if (names.length > limit) return refusal(400, `At most ${limit} items are allowed`);
  const partial = call.faults.get('partial-delete');
  const spared = (name: string) =>
    partial?.names === undefined ? name === names[0] : name.includes(partial.names);
  const left = names.filter((name) => {
    if (partial && spared(name)) return true;
    const outcome = remove(name);
    return outcome === 'refused' || (outcome === 'unknown' && call.settings.unknownInListDelete === 'report');
  });
  return left.length > 0 ? jsonAnswer(500, left) : emptyAnswer(204);
}
