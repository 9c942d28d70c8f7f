import type { Answer } from './http.ts';
import { tryJson } from './json.ts';
import { inBatches, unusableName } from './lists.ts';
import { isMissing } from './refusal.ts';
import { namesIn } from './shapes.ts';
import type { DeleteResult } from './types.ts';

/** What the answer to a list-delete says about each name. */
export interface DeleteVerdict {
  readonly gone: readonly string[];
  /** Could not be deleted now. */
  readonly left: readonly string[];
  /** Not known: these lists are sent again. */
  readonly again: readonly (readonly string[])[];
}

/** Statuses that answer a delete, besides 2xx: 404, and 500 with a list of those left. */
export function isDeleteAnswer(answer: Answer): boolean {
  if (isMissing(answer)) return true;
  return answer.status === 500 && (namesIn(tryJson(answer.body))?.length ?? 0) > 0;
}

/**
 * Reads the answer to a list-delete. Nothing counts as gone or left unless the answer says so about that name: when
 * it speaks of names we did not send, every name is asked for by itself.
 */
export function judgeDelete(asked: readonly string[], answer: Answer): DeleteVerdict {
  if (answer.status >= 200 && answer.status < 300) return { gone: asked, left: [], again: [] };
  const named = namesIn(tryJson(answer.body)) ?? [];
  const ours = asked.filter((name) => named.includes(name));
  const others = asked.filter((name) => !named.includes(name));
  if (answer.status === 404) {
    // Those not found are gone; the rest of the list was not touched.
    if (ours.length > 0) return { gone: ours, left: [], again: others.length === 0 ? [] : [others] };
    return asked.length === 1
      ? { gone: asked, left: [], again: [] }
      : { gone: [], left: [], again: singly(asked) };
  }
  // 500: those named are left, everything else was deleted.
  if (named.length > 0 && named.every((name) => asked.includes(name)))
    return { gone: others, left: ours, again: [] };
  return asked.length === 1
    ? { gone: [], left: asked, again: [] }
    : { gone: [], left: [], again: singly(asked) };
}

function singly(names: readonly string[]): readonly (readonly string[])[] {
  return names.map((name) => [name]);
}

/** How to delete a list and, for names that no list can hold, a single one. */
export interface ListDelete {
  readonly endpoint: string;
  readonly sendList: (names: readonly string[]) => Promise<Answer>;
  /** Absent where the reference has no such operation. */
  readonly sendOne?: (name: string) => Promise<Answer>;
}

/** Deletes any number of names. Every round settles a name or makes lists shorter, so it ends. */
export async function deleteAll(names: readonly string[], how: ListDelete): Promise<DeleteResult> {
  const { lists, singles } = inBatches(how.endpoint, names);
  const sendOne = how.sendOne ?? ((name: string) => Promise.reject(unusableName(how.endpoint, name)));
  const deleted: string[] = [];
  const remaining: string[] = [];
  const queue = [...lists];
  for (let list = queue.shift(); list !== undefined; list = queue.shift()) {
    const verdict = judgeDelete(list, await how.sendList(list));
    deleted.push(...verdict.gone);
    remaining.push(...verdict.left);
    queue.push(...verdict.again);
  }
  for (const name of singles) {
    const verdict = judgeDelete([name], await sendOne(name));
    deleted.push(...verdict.gone);
    remaining.push(...verdict.left);
  }
  return { deleted, remaining };
}
