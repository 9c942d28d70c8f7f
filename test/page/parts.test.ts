import { expect, test } from 'vitest';
import { Attempts } from '../../src/page/attempts.ts';
import { hostAllowed } from '../../src/page/host.ts';
import { html } from '../../src/page/html.ts';
import { Meter } from '../../src/page/meter.ts';
import { Sessions, sessionCookie, sessionIn, sessionMs } from '../../src/page/session.ts';
import { Shared } from '../../src/page/shared.ts';

test('what stands in a template is escaped, unless it is HTML itself', () => {
  const hostile = `"><script>alert('x')</script>&`;
  expect(html`<a title="${hostile}">${hostile}</a>`.text).toBe(
    '<a title="&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;">&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;</a>',
  );
  expect(html`${[html`<b>${1}</b>`, undefined, null, false, ['<', 0]]}`.text).toBe('<b>1</b>&lt;0');
});

test.each([
  ['localhost:8080', true],
  ['LOCALHOST', true],
  ['127.0.0.1:1', true],
  ['[::1]:8080', true],
  ['10.1.2.3', true],
  ['worker-1.internal:8080', true],
  ['udm.example.com', true],
  ['udm.example.com.:443', true],
  ['a.apps.example.com', true],
  ['apps.example.com', false],
  ['evil.com', false],
  ['localhost.evil.com', false],
  ['udm.example.com.evil.com', false],
  ['evil.com#localhost', false],
  ['', false],
  [undefined, false],
])('a Host header %s is ours: %s', (header, ours) => {
  expect(hostAllowed(header, 'worker-1.internal', ['udm.example.com', '*.apps.example.com'])).toBe(ours);
});

test('a session is signed with the token, ends, and its forms are its own', () => {
  const sessions = new Sessions('a token of some length');
  const session = sessions.begin(1_000_000);
  expect(sessions.holds(session, 1_000_000)).toBe(true);
  expect(sessions.holds(session, 1_000_000 + sessionMs - 1)).toBe(true);
  expect(sessions.holds(session, 1_000_000 + sessionMs)).toBe(false);
  // Another replica with the same token knows it; one with another does not.
  expect(new Sessions('a token of some length').holds(session, 1_000_000)).toBe(true);
  expect(new Sessions('another token of such').holds(session, 1_000_000)).toBe(false);
  expect(sessions.holds(session.replace(/^\d+/, '9999999999999'), 1_000_000)).toBe(false);
  for (const wrong of ['', '..', session.slice(0, -1), `${session}x`])
    expect(sessions.holds(wrong, 1_000_000), wrong).toBe(false);

  const form = sessions.formToken(session);
  expect(sessions.formIsOurs(session, form)).toBe(true);
  expect(sessions.formIsOurs(sessions.begin(1_000_000), form)).toBe(false);
  expect(sessions.formIsOurs(session, '')).toBe(false);
  expect(sessions.admits('a token of some length')).toBe(true);
  expect(sessions.admits('a token of some lengt')).toBe(false);

  expect(sessionIn(`a=b; ${sessionCookie(session, false).split(';')[0] ?? ''}; c=d`)).toBe(session);
  expect(sessionIn(undefined)).toBe('');
  expect(sessionCookie(session, true)).toMatch(/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure$/);
});

test('an address that shows wrong tokens has to wait, others have not', () => {
  const attempts = new Attempts();
  for (let n = 0; n < 5; n += 1) {
    expect(attempts.waitMs('a', n)).toBe(0);
    attempts.failed('a', n);
  }
  expect(attempts.waitMs('a', 10)).toBe(59_990);
  expect(attempts.waitMs('b', 10)).toBe(0);
  expect(attempts.waitMs('a', 60_000)).toBe(0);
  for (let n = 0; n < 3000; n += 1) attempts.failed(`address ${n}`, 20);
  expect(attempts.waitMs('a', 30), 'forgotten: it cannot fill memory').toBe(0);
});

test('a rate is that of the last seconds, slows down when nothing comes, and begins anew with the file', () => {
  const meter = new Meter();
  expect(meter.rate(1, 0)).toBeUndefined();
  for (let ms = 0; ms <= 60_000; ms += 100) meter.note(1, ms * (ms < 30_000 ? 1 : 2), ms);
  expect(meter.bytes(1)).toBe(120_000);
  expect(meter.rate(1, 60_000)).toBeCloseTo(2000, -2);
  expect(meter.rate(1, 120_000)).toBeLessThan(500);
  meter.note(1, 5, 121_000);
  expect(meter.bytes(1)).toBe(5);
  expect(meter.rate(1, 121_000)).toBeUndefined();
  // However many files pass while nobody looks, few are kept.
  for (let file = 0; file < 5000; file += 1) meter.note(file, 1, 1_000_000 + file * 1000);
  expect(meter.bytes(1)).toBeUndefined();
  expect(meter.bytes(4999)).toBe(1);
});

test('what is read for one serves all who ask at that moment, and a failure serves nobody', async () => {
  const shared = new Shared<number>();
  let reads = 0;
  const read = () => Promise.resolve((reads += 1));
  expect(await Promise.all([1, 2, 3].map(() => shared.get('a', 0, read)))).toEqual([1, 1, 1]);
  expect(await shared.get('b', 0, read)).toBe(2);
  expect(await shared.get('a', 1500, read)).toBe(3);
  await expect(shared.get('c', 0, () => Promise.reject(new Error('away')))).rejects.toThrow('away');
  expect(await shared.get('c', 0, read)).toBe(4);
});
