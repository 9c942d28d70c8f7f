import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inBatches } from '../../src/udm/lists.ts';
import { clientOf, errorOf, json, serve } from './support.ts';
import type { TestServer } from './support.ts';

/** A store of files with the list semantics of the reference. */
async function store(files: readonly string[], stuck: readonly string[] = [], envelope = false) {
  const present = new Set(files);
  const server = await serve((request, response) => {
    const wrap = (body: unknown) => (envelope ? { status: { code: 1000 }, data: body } : body);
    const single = /^\/udm\/v10\/files\/(.+)$/.exec(request.path)?.[1];
    const names = single === undefined ? listed(request.target) : [decodeURIComponent(single)];
    const unknown = names.filter((name) => !present.has(name));
    if (unknown.length > 0) return json(response, 404, wrap(unknown));
    const left = names.filter((name) => stuck.includes(name));
    for (const name of names) if (!left.includes(name)) present.delete(name);
    if (left.length > 0) json(response, 500, wrap(left));
    else response.writeHead(204).end();
  });
  return { server, present };
}

/** The names in a target, taken apart as a server would that splits before it decodes nothing. */
function listed(target: string): string[] {
  return (new URL(target, 'http://test').searchParams.get('filename') ?? '').split(',');
}

const targets = (server: TestServer) =>
  server.calls.map(({ target }) => target.replace('/udm/v10/files', ''));

describe('list-deletes', () => {
  test('all at once', async () => {
    const { server, present } = await store(['a', 'b', 'c']);
    expect(await clientOf(server.url).deleteFiles(['a', 'b', 'a'])).toEqual({
      deleted: ['a', 'b'],
      remaining: [],
    });
    expect([...present]).toEqual(['c']);
    expect(server.calls).toHaveLength(1);
  });

  test('nothing to delete asks for nothing', async () => {
    const { server } = await store(['a']);
    expect(await clientOf(server.url).deleteFiles([])).toEqual({ deleted: [], remaining: [] });
    expect(server.calls).toEqual([]);
  });

  test.each([[false], [true]])('500 with those left is an answer (envelope: %s)', async (envelope) => {
    const { server, present } = await store(['a', 'b', 'c'], ['b'], envelope);
    const result = await clientOf(server.url).deleteFiles(['a', 'b', 'c']);
    expect(result).toEqual({ deleted: ['a', 'c'], remaining: ['b'] });
    expect([...present]).toEqual(['b']);
    expect(server.calls).toHaveLength(1);
  });

  test('404 with those not found is done for them, and the rest is sent again', async () => {
    const { server, present } = await store(['a', 'c']);
    const result = await clientOf(server.url).deleteFiles(['a', 'b', 'c']);
    expect(new Set(result.deleted)).toEqual(new Set(['a', 'b', 'c']));
    expect(result.remaining).toEqual([]);
    expect([...present]).toEqual([]);
    expect(targets(server)).toEqual(['?filename=a,b,c', '?filename=a,c']);
  });

  test('404 without names says nothing about any of them', async () => {
    const present = new Set(['a']);
    const server = await serve((request, response) => {
      const names = listed(request.target);
      if (!names.every((name) => present.has(name)))
        return json(response, 404, { message: 'some not found' });
      for (const name of names) present.delete(name);
      response.writeHead(204).end();
    });
    const result = await clientOf(server.url).deleteFiles(['a', 'b']);
    expect(new Set(result.deleted)).toEqual(new Set(['a', 'b']));
    expect([...present]).toEqual([]);
  });

  test('500 that names what we did not send is not believed', async () => {
    const server = await serve((request, response) => {
      if (request.target.includes(',')) json(response, 500, ['A.ZIP']);
      else if (request.target.includes('a.zip')) json(response, 500, ['A.ZIP']);
      else response.writeHead(204).end();
    });
    const result = await clientOf(server.url).deleteFiles(['a.zip', 'b.zip']);
    expect(result).toEqual({ deleted: ['b.zip'], remaining: ['a.zip'] });
  });

  test('500 without names is trouble and retried', async () => {
    const server = await serve((_request, response, number) => {
      if (number < 3) json(response, 500, { message: 'database down' });
      else response.writeHead(204).end();
    });
    expect((await clientOf(server.url).deleteFiles(['a'])).deleted).toEqual(['a']);
    expect(server.calls).toHaveLength(3);
  });

  test('names that a list would change go alone', async () => {
    const names = ['a,b', ' c', 'd e', 'ü+%.zip'];
    const { server, present } = await store(names, ['a,b']);
    const result = await clientOf(server.url).deleteFiles(names);
    expect(new Set(result.deleted)).toEqual(new Set([' c', 'd e', 'ü+%.zip']));
    expect(result.remaining).toEqual(['a,b']);
    expect([...present]).toEqual(['a,b']);
    expect(targets(server)).toEqual(['?filename=d%20e,%C3%BC%2B%25.zip', '/a%2Cb', '/%20c']);
  });

  test('a name nobody can send stops everything before anything is sent', async () => {
    const { server } = await store(['a']);
    for (const bad of ['', '  ', '../a,b', '\ud800'])
      expect((await errorOf(clientOf(server.url).deleteFiles(['a', bad]))).code).toBe('ERR_UDM_NAME');
    expect(server.calls).toEqual([]);
  });

  test('jobs, and history entries by their job ids', async () => {
    const server = await serve((request, response) => {
      if (request.path.endsWith('/history')) json(response, 500, [{ id: 2 }]);
      else response.writeHead(204).end();
    });
    const client = clientOf(server.url);
    expect(await client.deleteJobList(['1', '2'])).toEqual({ deleted: ['1', '2'], remaining: [] });
    expect(await client.deleteHistoryList(['1', '2'])).toEqual({ deleted: ['1'], remaining: ['2'] });
    expect((await errorOf(client.deleteHistoryList(['1,2']))).code).toBe('ERR_UDM_NAME');
  });

  test('250 names travel in lists of at most 100', async () => {
    const names = Array.from({ length: 250 }, (_, index) => `f${index}`);
    const { server, present } = await store(names);
    expect((await clientOf(server.url).deleteFiles(names)).deleted).toHaveLength(250);
    expect(present.size).toBe(0);
    expect(server.calls.map(({ target }) => listed(target).length)).toEqual([100, 100, 50]);
  });

  test('lists keep whole, short enough and free of names that would change', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 })), (raw) => {
        const names = raw.filter((name) => name.trim() !== '' && !/(^|[/\\])\.\.?([/\\]|$)/.test(name));
        const { lists, singles } = inBatches('DELETE /v10/files', names);
        expect(new Set([...lists.flat(), ...singles])).toEqual(new Set(names));
        expect(lists.flat().length + singles.length).toBe(new Set(names).size);
        for (const list of lists) {
          expect(list.length).toBeLessThanOrEqual(100);
          const encoded = list.map(encodeURIComponent).join(',');
          if (list.length > 1) expect(encoded.length).toBeLessThan(6000);
          expect(decodeURIComponent(encoded).split(',')).toEqual(list);
        }
      }),
    );
  });
});
