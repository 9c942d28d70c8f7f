import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { chromiumInstalled, openChromium } from './chromium.ts';
import type { Browser } from './chromium.ts';
import { makePlace, token } from './place.ts';
import type { Place } from './place.ts';
import { hoursAgo, storyDefinitions, tellStory } from './story.ts';

// Set to a folder, it receives pictures of the pages.
const pictures = process.env['UDM_SYNC_TEST_PICTURES'];

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const axeResult = z.object({
  violations: z.array(
    z.object({
      id: z.string(),
      nodes: z.array(z.object({ html: z.string(), failureSummary: z.string().optional() })),
    }),
  ),
});

const focused = z.object({ text: z.string(), seen: z.boolean(), y: z.number(), x: z.number() }).nullable();
const whereFocusIs = `(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  const part = element.closest('header, section, footer')?.getBoundingClientRect();
  return {
    text: element.textContent.trim() || element.id,
    seen: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
    y: (part?.top ?? box.top) + scrollY,
    x: part?.left ?? 0,
  };
})()`;

describe.runIf(chromiumInstalled())('in Chromium', () => {
  let place: Place;
  let empty: Place;
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];
  beforeAll(async () => {
    place = await makePlace({ definitions: storyDefinitions(), page: { token } });
    empty = await makePlace();
    await tellStory(place);
    browser = await openChromium({ viewport: { width: 1280, height: 900 } });
    page = await browser.context.newPage();
    page.on('console', (message) => {
      // A status of ours that is no success is said there too.
      if (message.type() === 'error' && !message.text().includes('Failed to load resource'))
        problems.push(message.text());
    });
    page.on('pageerror', (error) => problems.push(error.message));
  });
  afterAll(async () => {
    await browser[Symbol.asyncDispose]();
    await place[Symbol.asyncDispose]();
    await empty[Symbol.asyncDispose]();
  });

  const look = async (name: string) => {
    if (pictures === undefined) return;
    await mkdir(pictures, { recursive: true });
    await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  };
  const runOf = async (state: string) => {
    const [run] = await place.rows.sql<{ id: string }>(
      'select id from udm_sync.runs where state = $1 limit 1',
      [state],
    );
    return run?.id ?? '';
  };
  const paths = async () => [
    '/',
    '/runs',
    `/runs/${await runOf('transferring')}`,
    '/definitions/interactions-hourly',
    '/definitions/recordings-daily',
    '/search?q=interactions_voice',
    '/login',
  ];
  const width = () => page.evaluate<number>('document.documentElement.scrollWidth');

  test('no page has a fault that axe finds, in light and in dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      for (const path of await paths()) {
        await page.goto(place.address + path);
        // As a debugger does: the page's own policy would refuse a script.
        await page.evaluate(axe);
        const { violations } = axeResult.parse(await page.evaluate('axe.run()'));
        expect(violations, `${colorScheme} ${path}`).toEqual([]);
      }
      await page.goto(place.address);
      await look(`overview-${colorScheme}`);
    }
    await page.goto(empty.address);
    await look('empty');
    await page.goto(`${place.address}/definitions/interactions-hourly`);
    await look('definition');
    await page.goto(`${place.address}/runs/${await runOf('transferring')}`);
    await look('run');
  });

  test('dark is dark, and light is light', async () => {
    const ground = async (colorScheme: 'light' | 'dark') => {
      await page.emulateMedia({ colorScheme });
      await page.goto(place.address);
      const colour = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
      const [r = 0, g = 0, b = 0] = (colour.match(/\d+/g) ?? []).map(Number);
      return (r + g + b) / 3;
    };
    expect(await ground('light')).toBeGreaterThan(220);
    expect(await ground('dark')).toBeLessThan(40);
    await page.emulateMedia({ colorScheme: 'light' });
  });

  test.each([320, 390, 768])('at a width of %i nothing has to be scrolled sideways', async (viewport) => {
    await page.setViewportSize({ width: viewport, height: 844 });
    for (const path of await paths()) {
      await page.goto(place.address + path);
      expect(await width(), path).toBeLessThanOrEqual(viewport);
    }
    await page.goto(place.address);
    if (viewport === 390) await look('overview-phone');
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  test('a name without an end to it breaks no layout, and hostile ones do nothing', async () => {
    await using other = await makePlace();
    const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
    const run = await other.rows.run({
      definition: 'd'.repeat(300),
      from: hoursAgo(2),
      state: 'transferring',
      reason: hostile,
    });
    const exported = await other.rows.export(run, 'completed');
    for (const name of [hostile, 'x'.repeat(400), '\u202egnp.exe', '名前'.repeat(100)])
      await other.rows.file({ run, export: exported, name, state: 'transferring' });
    await page.setViewportSize({ width: 390, height: 844 });
    for (const path of ['/', '/runs', `/runs/${run}`, `/search?q=${encodeURIComponent(hostile)}`]) {
      await page.goto(other.address + path);
      expect(await width(), path).toBeLessThanOrEqual(390);
      expect(await page.title(), path).toMatch(/ – udm-sync$/);
      expect(await page.locator('img, main script').count(), path).toBe(0);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  test('what changes is there without a reload; focus, open tables and pauses are kept', async () => {
    await page.goto(place.address);
    await page.evaluate(() => Object.assign(globalThis, { untouched: true }));
    await page.locator('#activity-day summary').click();
    const link = page.locator('#attention a').first();
    await link.focus();
    await place.rows.sql(`update udm_sync.exports set progress = 83 where progress = 62`);
    const [upload] = await place.rows.sql<{ id: string }>('select id from udm_sync.uploads');
    await place.rows.parts(Number(upload?.id), 8 * 2 ** 20, 48, 90);
    await page.locator('#exports', { hasText: '83 %' }).waitFor();
    await page.locator('#transfers', { hasText: '720.0 MiB of 900.0 MiB' }).waitFor();
    expect(await page.evaluate(() => 'untouched' in globalThis)).toBe(true);
    expect(await page.locator('#activity-day').getAttribute('open')).not.toBeNull();
    // The part with the focus is made anew, since times pass in it.
    const before = await page.locator('#attention').innerHTML();
    await place.rows.sql(`update udm_sync.runs set reason = 'another reason' where step_failures > 0`);
    await page.locator('#attention', { hasText: 'another reason' }).waitFor();
    expect(await page.locator('#attention').innerHTML()).not.toBe(before);
    expect(await page.locator('#attention a:focus').count()).toBe(1);

    await page.getByRole('button', { name: 'Pause updates' }).click();
    const asked = browser.requests.length;
    await place.rows.sql(`update udm_sync.exports set progress = 91 where progress = 83`);
    // Longer than between two looks, as the page itself measures it.
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 7000)));
    expect(browser.requests.length).toBe(asked);
    expect(await page.locator('#exports').textContent()).toContain('83 %');
    await page.getByRole('button', { name: 'Pause updates' }).click();
    await page.locator('#exports', { hasText: '91 %' }).waitFor();
  });

  test('a page whose server is away says that it is not up to date, and goes on when it is back', async () => {
    await page.goto(place.address);
    await page.context().setOffline(true);
    await page.getByText('Not up to date').waitFor();
    await page.context().setOffline(false);
    await page
      .getByText('Not up to date')
      .waitFor({ state: 'detached' })
      .catch(() => undefined);
    await expect.poll(() => page.locator('#stale').textContent(), { timeout: 40_000 }).toBe('');
  });

  test('times are UTC, with the time of whoever looks in their titles', async () => {
    const [run] = await place.rows.sql<{ id: string; at: Date }>(
      `select h.run_id as id, h.at from udm_sync.history h order by h.id limit 1`,
    );
    await page.goto(`${place.address}/runs/${run?.id ?? ''}`);
    const time = page.locator('#history time').first();
    expect(await time.textContent()).toBe(run?.at.toISOString().slice(0, 19).replace('T', ' '));
    expect(await time.getAttribute('title')).toMatch(/(GMT-[45]|EST|EDT)\n\d{4}-/);
  });

  test('everything is reached by the keyboard, in the order it is read, and the focus is seen', async () => {
    await page.goto(place.address);
    const seen: { y: number; x: number; text: string }[] = [];
    for (let n = 0; n < 80; n += 1) {
      await page.keyboard.press('Tab');
      const at = focused.parse(await page.evaluate(whereFocusIs));
      if (!at) break;
      expect(at.seen, at.text).toBe(true);
      // The link that skips comes from above when it has the focus.
      seen.push(n === 0 ? { ...at, y: 0, x: 0 } : at);
    }
    expect(seen.slice(0, 6).map(({ text }) => text)).toEqual([
      'Skip to content',
      'udm-sync',
      'Overview',
      'Runs',
      'q',
      'Search',
    ]);
    expect(seen.map(({ text }) => text)).toEqual(
      expect.arrayContaining([
        'contacts-hourly',
        'recordings-daily',
        'As a table',
        'Pause updates',
        'Sign in',
      ]),
    );
    // From part to part it goes down, or to the right.
    for (const [n, at] of seen.slice(1).entries()) {
      const before = seen[n];
      expect(at.y > (before?.y ?? 0) - 1 || at.x > (before?.x ?? 0), at.text).toBe(true);
    }
  });

  test('arrow keys walk the calendar, Enter opens the run', async () => {
    await page.goto(
      `${place.address}/definitions/contacts-hourly?month=${hoursAgo(48).toISOString().slice(0, 7)}`,
    );
    const first = page.locator('.calendar a[tabindex="0"]').first();
    await first.focus();
    const label = () => page.evaluate<string>(`document.activeElement?.getAttribute('aria-label') ?? ''`);
    const begun = await label();
    await page.keyboard.press('ArrowRight');
    expect(await label()).not.toBe(begun);
    await page.keyboard.press('ArrowLeft');
    expect(await label()).toBe(begun);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/runs\/\d+$/);
    expect(await page.locator('h1').textContent()).toMatch(/^Run \d+/);
  });

  test('an operator signs in, retries and cancels, and signs out', async () => {
    const run = await place.rows.run({ from: hoursAgo(900), state: 'failed', reason: 'tried too often' });
    await page.goto(`${place.address}/runs/${run}`);
    expect(await page.getByRole('button', { name: 'Retry' }).count()).toBe(0);
    await page.getByRole('link', { name: 'Sign in' }).click();
    await page.getByLabel('Token').fill('not the token at all');
    await page.keyboard.press('Enter');
    await page.getByText('This is not the token.').waitFor();
    await page.getByLabel('Token').fill(token);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${place.address}/`);
    await page.goto(`${place.address}/runs/${run}`);
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.getByText('Retried: a worker takes it from here.').waitFor();
    await page.getByText('Cancel…').click();
    await page.getByRole('button', { name: `Cancel run ${run}` }).click();
    await page.getByText('Cancelled, or to be cancelled').waitFor();
    expect(await page.locator('h1').textContent()).toMatch(/cancelled/);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in' }).waitFor();
    await page.goto(`${place.address}/runs/${run}`);
    expect(await page.getByRole('button', { name: 'Retry' }).count()).toBe(0);
    await place.rows.sql('delete from udm_sync.runs where id = $1', [run]);
  });

  test('without JavaScript the pages say the same', async () => {
    await using bare = await openChromium({ javaScriptEnabled: false });
    const still = await bare.context.newPage();
    await still.goto(place.address);
    expect(await still.locator('#answer').textContent()).toContain('AT RISK');
    expect(await still.getByRole('button', { name: 'Pause updates' }).count()).toBe(0);
    await still.locator('#activity-day summary').click();
    expect(await still.locator('#activity-day table').isVisible()).toBe(true);
  });

  test('nothing was asked of anybody else, and no page complained', () => {
    const hosts = new Set(browser.requests.map((url) => new URL(url).hostname));
    expect([...hosts]).toEqual(['127.0.0.1']);
    expect(problems).toEqual([]);
  });
});
