import { UdmError } from './errors.ts';
import type { Page } from './shapes.ts';

/** How a list is read page by page. */
export interface Paging<T> {
  readonly endpoint: string;
  /** Items asked for at once; the upstream may send fewer. */
  readonly pageSize: number;
  readonly keyOf: (item: T) => string;
  /** Default a million. */
  readonly mostItems?: number;
  readonly fetchPage: (from: number, size: number) => Promise<Page<T>>;
}

/** Times a page may bring nothing new before the list counts as ended. */
const maxStale = 3;
/** Items a list may have: more than any tenant can make, less than fills our memory. */
const mostItems = 1_000_000;
/** Times a list that changes under our hands is read from the start. */
const maxPasses = 3;

/**
 * Every item of a list once, fetched as the caller iterates.
 *
 * Page sizes are not trusted, since the upstream may cap them: the next page begins after what has been received,
 * and without a count the list ends only with an empty page or one without news. When the count drops meanwhile, or
 * fewer items came than it says, items have moved into pages already read, and the list is read again for those.
 *
 * Throws ERR_UDM_PAGING when the upstream announced more items than it lets us see, or when the list does not end.
 */
export async function* allPages<T>(paging: Paging<T>): AsyncGenerator<T, void, undefined> {
  const given = new Set<string>();
  let announced = 0;
  for (let pass = 1; pass <= maxPasses; pass++) {
    const end = yield* onePass(paging, given);
    announced = end.announced;
    if (!end.shrunk && given.size >= announced) return;
  }
  if (given.size < announced)
    throw new UdmError(
      'ERR_UDM_PAGING',
      paging.endpoint,
      `the list announces ${announced} items but shows only ${given.size}.`,
      { retryable: true, hint: 'The list changed while it was read; it is read again later.' },
    );
}

/** What a walk through the list saw of its length. */
interface PassEnd {
  /** The count dropped on the way. */
  readonly shrunk: boolean;
  /** The least count that was announced; 0 if none was. */
  readonly announced: number;
}

/** From the first page to the last, giving what was not given before. */
async function* onePass<T>(paging: Paging<T>, given: Set<string>): AsyncGenerator<T, PassEnd, undefined> {
  const seen = new Set<string>();
  let from = 0;
  let stale = 0;
  let shrunk = false;
  let count: number | undefined;
  let announced: number | undefined;
  while (stale < maxStale) {
    const page = await paging.fetchPage(from, paging.pageSize);
    if (page.count !== undefined) {
      shrunk ||= page.count < (count ?? 0);
      count = page.count;
      announced = Math.min(count, announced ?? count);
    }
    if (page.items.length === 0) break;
    const before = seen.size;
    for (const item of page.items) {
      const key = paging.keyOf(item);
      seen.add(key);
      if (given.has(key)) continue;
      given.add(key);
      yield item;
    }
    if (seen.size > (paging.mostItems ?? mostItems))
      throw new UdmError(
        'ERR_UDM_PAGING',
        paging.endpoint,
        `the list does not end: it has over ${seen.size} items.`,
        {
          hint: 'No tenant has that many: check that the base URL points at UDM.',
        },
      );
    if (seen.size === before) {
      // The same page again: asked for once more, so that the one in its place is not skipped.
      stale++;
      continue;
    }
    stale = 0;
    from += page.items.length;
    if (count !== undefined && from >= count) break;
  }
  return { shrunk, announced: announced ?? 0 };
}
