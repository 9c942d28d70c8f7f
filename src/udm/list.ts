import type { z } from 'zod';
import { endpointOf } from './api.ts';
import type { Api, ApiCall } from './api.ts';
import { allPages } from './paging.ts';
import { pageSchema } from './shapes.ts';

/** A paged list of the reference. */
export interface ListCall<T> {
  readonly route: string;
  readonly query: NonNullable<ApiCall['query']>;
  readonly item: z.ZodType<T>;
  readonly keyOf: (item: T) => string;
  readonly pageSize: number;
  readonly signal: AbortSignal | undefined;
}

/** Reads a list with `from` and `size`, in the order of creation so that pages do not shift more than they must. */
export function listAll<T>(api: Api, list: ListCall<T>): AsyncIterable<T> {
  const page = pageSchema(list.item);
  const call = { method: 'GET', route: list.route, signal: list.signal } as const;
  return allPages({
    endpoint: endpointOf(call),
    pageSize: list.pageSize,
    keyOf: list.keyOf,
    fetchPage: (from, size) =>
      api.get(
        {
          ...call,
          query: { ...list.query, orderField: 'createdDate', from: String(from), size: String(size) },
        },
        page,
      ),
  });
}
