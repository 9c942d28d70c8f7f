import { describe, expect, test } from 'vitest';
import { all, clientOf, errorOf, json, serve } from './support.ts';
import type { Received } from './support.ts';

interface Item {
  readonly id: number;
}

const items = (from: number, to: number): Item[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, index) => ({ id: from + index }));
const ids = (from: number, to: number) => items(from, to).map(({ id }) => String(id));

/** Reads the list of jobs from a server that answers each page like this. */
async function read(
  page: (from: number, size: number, number: number) => unknown,
  pageSize = 10,
): Promise<{ ids: string[]; from: string[]; error?: unknown }> {
  const server = await serve((request: Received, response, number) => {
    const body = page(Number(request.query.get('from')), Number(request.query.get('size')), number);
    if (body === undefined) response.writeHead(204).end();
    else json(response, 200, body);
  });
  const list = clientOf(server.url, { pageSize }).listJobs();
  const found: string[] = [];
  const from = () => server.calls.map(({ query }) => query.get('from') ?? '');
  try {
    for await (const job of list) found.push(job.id);
  } catch (error) {
    return { ids: found, from: from(), error };
  }
  return { ids: found, from: from() };
}

const list = (total: number, from: number, size: number) => ({
  count: total,
  size,
  items: items(from, Math.min(total, from + size)),
});

describe('pages', () => {
  test('until the count is reached', async () => {
    const result = await read((from, size) => list(25, from, size));
    expect(result).toEqual({ ids: ids(0, 25), from: ['0', '10', '20'] });
  });

  test('a full last page needs no further request when the count is known', async () => {
    expect((await read((from, size) => list(20, from, size))).from).toEqual(['0', '10']);
  });

  test('the upstream may send fewer than asked for', async () => {
    const result = await read((from) => list(25, from, 7), 100);
    expect(result).toEqual({ ids: ids(0, 25), from: ['0', '7', '14', '21'] });
  });

  test('without a count, until nothing comes', async () => {
    const capped = await read((from) => (from < 25 ? items(from, Math.min(25, from + 7)) : undefined), 100);
    expect(capped.ids).toEqual(ids(0, 25));
    expect((await read((from) => (from < 20 ? items(from, from + 10) : []))).ids).toEqual(ids(0, 20));
  });

  test('a server that knows no pages gives its list once', async () => {
    expect((await read(() => items(0, 5))).ids).toEqual(ids(0, 5));
  });

  test('nothing is fetched before it is needed', async () => {
    const server = await serve((request, response) =>
      json(response, 200, list(1000, Number(request.query.get('from')), 10)),
    );
    for await (const job of clientOf(server.url, { pageSize: 10 }).listJobs()) if (job.id === '12') break;
    expect(server.calls).toHaveLength(2);
  });
});

describe('lists that move while they are read', () => {
  test('a page sent twice does not hide the one in its place', async () => {
    const result = await read((from, size, number) => list(25, number === 2 ? 0 : from, size));
    expect(result.ids).toEqual(ids(0, 25));
    expect(result.error).toBeUndefined();
  });

  test('an item inserted in front comes once', async () => {
    // From the second page on, everything has moved by one: item 9 is seen again.
    const result = await read((from, size, number) =>
      number === 1
        ? list(25, from, size)
        : { count: 26, items: items(from - 1, Math.min(25, from - 1 + size)) },
    );
    expect(result.ids).toEqual(ids(0, 25));
    expect(result.error).toBeUndefined();
  });

  test('an item deleted in front hides none behind it', async () => {
    // After the first page item 0 goes; 10 moves to the end of a page already read.
    const result = await read((from, size, number) =>
      number === 1
        ? list(25, from, size)
        : { count: 24, items: items(from + 1, Math.min(25, from + 1 + size)) },
    );
    expect(result.ids.sort((a, b) => Number(a) - Number(b))).toEqual(ids(0, 25));
  });

  test('a page that repeats for ever ends with an error, as the rest is not seen', async () => {
    const result = await read((_from, size) => list(25, 0, size));
    expect(result.ids).toEqual(ids(0, 10));
    expect(result.error).toMatchObject({
      code: 'ERR_UDM_PAGING',
      retryable: true,
      endpoint: 'GET /v10/export/jobs',
    });
    expect(result.from.length).toBeLessThan(20);
  });

  test('so does a list that ends before its count', async () => {
    const result = await read((from, size) => (from < 10 ? list(25, from, size) : { count: 25, items: [] }));
    expect(result.error).toMatchObject({ code: 'ERR_UDM_PAGING' });
  });
});

test('an error in a later page reaches the reader', async () => {
  const server = await serve((_request, response, number) => {
    if (number === 1) json(response, 200, list(25, 0, 10));
    else json(response, 403, { message: 'gone' });
  });
  const error = await errorOf(all(clientOf(server.url, { pageSize: 10 }).listJobs()));
  expect(error.code).toBe('ERR_UDM_FORBIDDEN');
});

test('files of one name in different runs are different files', async () => {
  const server = await serve((_request, response) =>
    json(response, 200, {
      count: 2,
      items: [
        { name: 'a.zip', historyId: 1 },
        { name: 'a.zip', historyId: 2 },
      ],
    }),
  );
  expect(await all(clientOf(server.url).listFileMetadatas())).toHaveLength(2);
});
