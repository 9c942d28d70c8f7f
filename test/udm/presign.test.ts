import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { SignedUrl } from '../../src/udm/presigned.ts';
import { clientOf, errorOf, json, serve } from './support.ts';

const signed = (name: string) =>
  `https://bucket.s3.test/acme/${encodeURIComponent(name)}?X-Amz-Signature=5ec3e7`;

describe('the list of pre-signed URLs', () => {
  const names = ['a b.zip', 'c.zip'];
  const entries = names.map((name) => ({ fileName: name, url: signed(name) }));

  test.each([
    ['URLs', entries.map(({ url }) => url)],
    ['objects', entries],
    ['objects with other names', entries.map(({ fileName, url }) => ({ name: fileName, presignedUrl: url }))],
    ['a map', Object.fromEntries(entries.map(({ fileName, url }) => [fileName, url]))],
    ['a map to objects', Object.fromEntries(entries.map(({ fileName, url }) => [fileName, { url }]))],
    ['items', { items: entries, count: 2 }],
  ])('as %s, with and without envelope', async (_, body) => {
    for (const answer of [body, { status: { code: 0 }, data: body }]) {
      const server = await serve((_request, response) => json(response, 200, answer));
      const { urls, missing } = await clientOf(server.url).presignFiles(names);
      expect([...urls].map(([name, url]) => [name, url.secret])).toEqual(
        names.map((name) => [name, signed(name)]),
      );
      expect(missing).toEqual([]);
      expect(server.calls).toHaveLength(1);
    }
  });

  test('404 names those missing, and the rest is asked for again', async () => {
    const server = await serve((request, response) => {
      const asked = request.query.get('filename')?.split(',') ?? [];
      if (asked.includes('gone.zip')) json(response, 404, ['gone.zip']);
      else json(response, 200, asked.map(signed));
    });
    const { urls, missing } = await clientOf(server.url).presignFiles(['a.zip', 'gone.zip', 'c.zip']);
    expect([...urls.keys()]).toEqual(['a.zip', 'c.zip']);
    expect(missing).toEqual(['gone.zip']);
    expect(server.calls).toHaveLength(2);
  });

  test('whoever the answer does not speak of is located alone, never by position', async () => {
    const server = await serve((request, response) => {
      if (request.query.has('filename')) json(response, 200, [signed('x1'), signed('x2'), signed('c.zip')]);
      else if (request.path.endsWith('/a.zip')) response.writeHead(303, { location: signed('a.zip') }).end();
      else json(response, 404, {});
    });
    const { urls, missing } = await clientOf(server.url).presignFiles(['a.zip', 'b.zip', 'c.zip', 'd,e.zip']);
    expect([...urls].map(([name, url]) => [name, url.secret])).toEqual([
      ['c.zip', signed('c.zip')],
      ['a.zip', signed('a.zip')],
    ]);
    expect(missing).toEqual(['d,e.zip', 'b.zip']);
  });

  test('two URLs for one name are none', async () => {
    const server = await serve((request, response) => {
      if (request.query.has('filename'))
        json(response, 200, ['https://s3.test/run1/a.zip?X=1', 'https://s3.test/run2/a.zip?X=1']);
      else response.writeHead(303, { location: signed('a.zip') }).end();
    });
    expect((await clientOf(server.url).presignFiles(['a.zip'])).urls.get('a.zip')?.secret).toBe(
      signed('a.zip'),
    );
  });

  test('a name that is the end of another does not get its URL', async () => {
    const server = await serve((_request, response) =>
      json(response, 200, ['https://s3.test/run/a/b.zip?X=1', 'https://s3.test/run/b.zip?X=2']),
    );
    const { urls } = await clientOf(server.url).presignFiles(['b.zip', 'a/b.zip']);
    expect(urls.get('a/b.zip')?.secret).toBe('https://s3.test/run/a/b.zip?X=1');
    expect(urls.get('b.zip')?.secret).toBe('https://s3.test/run/b.zip?X=2');
  });

  test('an answer without URLs is an error that shows nothing of it', async () => {
    const server = await serve((_request, response) =>
      json(response, 200, [{ fileName: 'a.zip', secretish: 'sig' }]),
    );
    const error = await errorOf(clientOf(server.url).presignFiles(['a.zip']));
    expect(error.code).toBe('ERR_UDM_ANSWER');
    expect(inspect(error)).not.toContain('sig"');
    expect(error.excerpt).toBeUndefined();
  });
});

describe('the 303', () => {
  test('is not followed', async () => {
    const origin = await serve((_request, response) => response.end('bytes'));
    const server = await serve((_request, response) =>
      response.writeHead(303, { location: `${origin.url}/a.zip?X-Amz-Signature=5ec3e7` }).end(),
    );
    const url = await clientOf(server.url).locateFile('a.zip');
    expect(url?.secret).toBe(`${origin.url}/a.zip?X-Amz-Signature=5ec3e7`);
    expect(origin.calls).toEqual([]);
  });

  test.each([
    [303, {}],
    [303, { location: 'http://' }],
    [200, {}],
  ])('%i %j is not understood', async (status, headers: Record<string, string>) => {
    const server = await serve((_request, response) => response.writeHead(status, headers).end('{}'));
    expect((await errorOf(clientOf(server.url).locateFile('a.zip'))).code).toBe('ERR_UDM_ANSWER');
  });
});

test('a pre-signed URL shows itself without its signature', () => {
  const url = new SignedUrl(new URL(signed('a.zip')));
  const shown = 'https://bucket.s3.test/acme/a.zip';
  expect(String(url)).toBe(shown);
  expect(JSON.stringify({ url })).toBe(`{"url":"${shown}"}`);
  expect(inspect({ url }, { depth: 10, showHidden: true })).not.toContain('5ec3e7');
  expect(JSON.stringify(Object.entries(url))).not.toContain('5ec3e7');
  expect(url.secret).toContain('5ec3e7');
});
