import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { servePage } from '../../src/page/server.ts';
import { form, makePlace, token } from './place.ts';
import type { Place } from './place.ts';
import { hoursAgo } from './story.ts';

let open: Place;
let guarded: Place;
beforeAll(async () => {
  open = await makePlace();
  guarded = await makePlace({ page: { token, allowedHosts: ['udm.example.com'] } });
});
afterAll(async () => {
  await open[Symbol.asyncDispose]();
  await guarded[Symbol.asyncDispose]();
});

test('every answer forbids scripts and frames of others, and is kept nowhere', async () => {
  for (const path of ['/', '/runs', '/search?q=x', '/nowhere', '/login']) {
    const { headers } = await open.ask(path);
    expect(headers, path).toMatchObject({
      'content-security-policy': expect.stringMatching(
        /^default-src 'none'; style-src 'self'; script-src 'self'; .*frame-ancestors 'none'$/,
      ),
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'referrer-policy': 'same-origin',
    });
    expect(headers).not.toHaveProperty('x-powered-by');
    expect(headers).not.toHaveProperty('access-control-allow-origin');
  }
});

test('no page has a script, a style or a handler in it, or anything from elsewhere', async () => {
  for (const path of ['/', '/runs', '/definitions/contacts-hourly']) {
    const { body } = await open.ask(path);
    expect(body).not.toMatch(/ style=|<style| on[a-z]+=/);
    expect(body).not.toMatch(/(?:src|href|action)="(?!\/(?!\/)|#)/);
  }
});

test('files of the page are kept for ever under a name that changes with them', async () => {
  const { body } = await open.ask('/');
  for (const kind of ['css', 'js', 'svg']) {
    const path = new RegExp(`/static/[\\w.]+\\.${kind}`).exec(body)?.[0] ?? '';
    const file = await open.ask(path);
    expect(file).toMatchObject({
      status: 200,
      headers: { 'cache-control': 'public, max-age=31536000, immutable' },
    });
    const again = await open.ask(path, { headers: { 'if-none-match': String(file.headers['etag']) } });
    expect(again).toMatchObject({ status: 304, body: '' });
    // The script asks nobody else, and carries nothing in.
    expect(file.body).not.toMatch(/https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  }
});

test.each(['evil.example', 'localhost.evil.example', 'udm.example.com.evil.example', 'a b', '[evil]'])(
  'a Host header %j is refused: another site must not read the page by a name of its own',
  async (host) => {
    const answer = await guarded.ask('/', { headers: { host } });
    expect(answer.status).toBe(421);
    expect(answer.body).toContain('page.allowedHosts');
    const acted = await guarded.ask('/login', form({ token }, { host }));
    expect(acted.status).toBe(421);
    expect(acted.headers).not.toHaveProperty('set-cookie');
  },
);

test.each(['udm.example.com', 'localhost:8080', '127.0.0.1', '[::1]:80'])(
  'a Host header %j is welcome',
  async (host) => {
    expect((await guarded.ask('/', { headers: { host } })).status).toBe(200);
  },
);

test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'])(
  'without a token %s changes nothing',
  async (method) => {
    const run = await open.rows.run({ from: hoursAgo(method.length * 10), state: 'failed' });
    for (const path of ['/', '/login', `/runs/${run}/retry`]) {
      const answer = await open.ask(path, { ...form({ token, form: '' }), method });
      expect(answer.status).toBe(405);
      expect(answer.headers['allow']).toBe('GET, HEAD');
    }
    await open.rows.sql('delete from udm_sync.runs where id = $1', [run]);
  },
);

test('without a token there is no way to sign in', async () => {
  expect((await open.ask('/login')).status).toBe(404);
  expect((await open.ask('/')).body).not.toContain('/login');
});

/** Signs in; returns the cookie and what the forms of the session carry. */
async function signIn(place: Place, run: number) {
  const answer = await place.ask('/login', form({ token }));
  expect(answer).toMatchObject({ status: 303, headers: { location: '/' } });
  const [line = ''] = answer.headers['set-cookie'] ?? [];
  expect(line).toMatch(/^udm_sync_session=[\w.-]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/);
  const cookie = line.split(';')[0] ?? '';
  const { body } = await place.ask(`/runs/${run}`, { headers: { cookie } });
  const formToken = /name="form" value="([^"]+)"/.exec(body)?.[1] ?? '';
  expect(formToken).not.toBe('');
  return { cookie, formToken };
}

const stateOf = async (place: Place, run: number) => {
  const [row] = await place.rows.sql<{ state: string }>('select state from udm_sync.runs where id = $1', [
    run,
  ]);
  return row?.state;
};

test('whoever shows the token may retry and cancel, like the command line', async () => {
  const run = await guarded.rows.run({ from: hoursAgo(100), state: 'failed' });
  const { cookie, formToken } = await signIn(guarded, run);
  const act = (action: string) =>
    guarded.ask(
      `/runs/${run}/${action}`,
      form({ form: formToken }, { cookie, 'sec-fetch-site': 'same-origin' }),
    );

  const retried = await act('retry');
  expect(retried).toMatchObject({ status: 303, headers: { location: `/runs/${run}?did=retry` } });
  expect(await stateOf(guarded, run)).toBe('planned');
  const shown = await guarded.ask(`/runs/${run}?did=retry`, { headers: { cookie } });
  expect(shown.body).toContain('Retried: a worker takes it from here.');
  expect(shown.body).toContain('retried by an operator');

  const again = await act('retry');
  expect(again.status).toBe(409);
  expect(again.body).toContain(`Run ${run} is planned; only a failed or cancelled run can be retried.`);

  expect((await act('cancel')).status).toBe(303);
  expect(await stateOf(guarded, run)).toBe('cancelled');
  expect((await guarded.ask('/runs/999999/cancel', form({ form: formToken }, { cookie }))).status).toBe(404);

  const out = await guarded.ask('/logout', form({ form: formToken }, { cookie }));
  expect(out.headers['set-cookie']?.[0]).toMatch(/^udm_sync_session=; .*Max-Age=0/);
});

test('nothing is done without session, form token, or for another site', async () => {
  const run = await guarded.rows.run({ from: hoursAgo(110), state: 'failed' });
  const { cookie, formToken } = await signIn(guarded, run);
  const other = await signIn(guarded, run);
  const path = `/runs/${run}/retry`;
  const own = new URL(guarded.address).host;
  const refused = [
    form({ form: formToken }),
    form({}, { cookie }),
    form({ form: 'guess' }, { cookie }),
    form({ form: other.formToken }, { cookie }),
    form({ form: formToken }, { cookie: 'udm_sync_session=1.2.3' }),
    form({ form: formToken }, { cookie, 'sec-fetch-site': 'cross-site' }),
    form({ form: formToken }, { cookie, 'sec-fetch-site': 'same-site' }),
    form({ form: formToken }, { cookie, origin: 'http://evil.example' }),
    form({ form: formToken }, { cookie, origin: 'null' }),
  ];
  for (const ask of refused) {
    const answer = await guarded.ask(path, ask);
    expect(answer.status, JSON.stringify(ask)).toBe(403);
  }
  const json = { ...form({ form: formToken }, { cookie, 'content-type': 'text/plain' }) };
  expect((await guarded.ask(path, json)).status).toBe(400);
  expect(
    (await guarded.ask(path, form({ form: formToken, more: 'x'.repeat(5000) }, { cookie }))).status,
  ).toBe(400);
  // A link, or an image, does nothing.
  expect((await guarded.ask(path, { headers: { cookie } })).status).toBe(404);
  expect(await stateOf(guarded, run)).toBe('failed');

  const right = form({ form: formToken }, { cookie, origin: `http://${own}` });
  expect((await guarded.ask(path, right)).status).toBe(303);
});

test('a session cookie travels only encrypted behind a proxy that encrypts', async () => {
  const answer = await guarded.ask('/login', form({ token }, { 'x-forwarded-proto': 'https' }));
  expect(answer.headers['set-cookie']?.[0]).toMatch(/; Secure$/);
});

test('wrong tokens are refused, then not looked at for a while; the token is shown nowhere', async () => {
  await using place = await makePlace({ page: { token } });
  for (const wrong of ['', 'x', token.slice(0, -1), `${token} `, token.toUpperCase()]) {
    const answer = await place.ask('/login', form({ token: wrong }));
    expect(answer.status).toBe(403);
    expect(answer.headers).not.toHaveProperty('set-cookie');
    expect(answer.body).not.toContain(token.slice(0, -1));
  }
  const late = await place.ask('/login', form({ token }));
  expect(late.status).toBe(429);
  expect(Number(late.headers['retry-after'])).toBeGreaterThan(0);
  expect(late.headers).not.toHaveProperty('set-cookie');
  for (const path of ['/', '/login']) expect((await place.ask(path)).body).not.toContain(token);
});

test('a port that is taken is one clear error', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as AddressInfo;
  try {
    await expect(
      servePage({ pipeline: open.pipeline, url: open.url, settings: { ...open.config.page, port } }),
    ).rejects.toMatchObject({
      code: 'ERR_PAGE',
      message: `The status page cannot be served on 127.0.0.1:${port}: the port is in use.`,
    });
  } finally {
    holder.close();
  }
});
