import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { gapOf } from '../../src/notify/gaps.ts';
import { retryDelay, whatIsDue } from '../../src/notify/due.ts';
import { renderMessage } from '../../src/notify/message.ts';
import type { NoticeGroup } from '../../src/store/notices.ts';
import { load, mistakes } from '../config/fixture.ts';

const at = (text: string) => new Date(`2026-06-01T${text}Z`);
const url = 'https://hooks.example.com/services/planted-webhook-secret-4e1d';

async function webhook(more: Record<string, unknown> = {}) {
  const found = (await load({ 'notifications/ops': { url, ...more } })).notifications['ops'];
  if (!found) throw new Error('there is no webhook');
  return found;
}

const hostile = '<!channel> "quoted" & <https://evil.example|click> \u202e\n*bold* \\';
/** A message as Slack gets it, or as everybody else does. */
const slackBody = z.object({
  text: z.string(),
  mrkdwn: z.boolean(),
  blocks: z.array(z.object({ text: z.looseObject({ type: z.string(), text: z.string() }) })),
});
const slackOf = (body: string) => slackBody.parse(JSON.parse(body));
const plainOf = (body: string) =>
  z
    .object({ text: z.string(), events: z.array(z.object({ files: z.array(z.string()) })) })
    .parse(JSON.parse(body));
const group: NoticeGroup = {
  kind: 'file-dead',
  definition: 'hourly',
  tenant: 'acme',
  run: 5,
  from: at('00:00:00'),
  to: at('01:00:00'),
  count: 12,
  files: ['a.zip', 'b.zip', 'c.zip', 'd.zip'],
  reason: 'the upstream answered 500',
  firstAt: at('02:00:00'),
  lastAt: at('02:01:00'),
};

describe('when a webhook gets a message', () => {
  const settings = { groupForMs: 30_000, minIntervalMs: 900_000 };
  const idle = { claimedUntil: null, nextTryAt: null, lastSentAt: null };
  const waiting = (since: string) => ({ message: null, attempts: 0, waitingSince: at(since) });
  const now = at('12:00:00');
  test.each([
    ['nothing waits', idle, { message: null, attempts: 0, waitingSince: null }, false, 'nothing'],
    ['it is still gathered', idle, waiting('11:59:31'), false, 'nothing'],
    ['it was gathered', idle, waiting('11:59:30'), false, 'new'],
    ['the last was just now', { ...idle, lastSentAt: at('11:46:00') }, waiting('11:50:00'), false, 'nothing'],
    ['the last was long ago', { ...idle, lastSentAt: at('11:45:00') }, waiting('11:50:00'), false, 'new'],
    ['the process ends', { ...idle, lastSentAt: at('11:59:00') }, waiting('11:59:59'), true, 'new'],
    ['another sends it', { ...idle, claimedUntil: at('12:00:01') }, waiting('11:00:00'), true, 'nothing'],
    ['its sender is dead', { ...idle, claimedUntil: at('12:00:00') }, waiting('11:00:00'), false, 'new'],
    ['it failed just now', { ...idle, nextTryAt: at('12:00:05') }, waiting('11:00:00'), true, 'nothing'],
  ])('%s', (_, row, outstanding, hurry, kind) =>
    expect(whatIsDue(settings, row, outstanding, now, hurry)).toMatchObject({ kind }),
  );

  test('one that was begun goes on, whatever was sent meanwhile', () => {
    const row = { ...idle, lastSentAt: at('11:59:59') };
    const outstanding = { message: 'm1', attempts: 1, waitingSince: at('11:00:00') };
    expect(whatIsDue(settings, row, outstanding, now, false)).toEqual({ kind: 'again', message: 'm1' });
  });

  test('attempts become rarer, and heed what the receiver asks for, within bounds', () => {
    expect([1, 2, 3, 20].map((failures) => retryDelay(failures, 0.5))).toEqual([
      5000, 10_000, 20_000, 600_000,
    ]);
    expect(retryDelay(1, 0.5, 60_000)).toBe(60_000);
    expect(retryDelay(1, 0.5, 86_400_000)).toBe(600_000);
  });
});

describe('a definition is overdue', () => {
  const now = at('12:00:00');
  const long = new Date('2026-01-01T00:00:00Z');
  const ticks = { lastTickAt: at('11:05:00'), nextTickAt: at('12:05:00') };
  const status = (doneUntil: Date | null, lastDoneAt: Date | null) => ({
    definition: 'hourly',
    done: 1,
    unfinished: 0,
    failed: 0,
    cancelled: 0,
    doneUntil,
    lastDoneAt,
    oldestUnfinished: null,
  });
  const scheduled = async (more: Record<string, unknown> = { schedule: { cron: '5 * * * *' } }) => {
    const found = (
      await load(Object.fromEntries(Object.entries(more).map(([k, v]) => [`definitions/hourly/${k}`, v])))
    ).definitions['hourly'];
    if (!found) throw new Error('there is no definition');
    return found;
  };
  // A window of 1 h, a lag of 15 min, 1 h between two ticks, 1 h of grace: 3 h 15 min.
  test.each([
    ['a success in time', at('08:45:00'), at('08:50:00'), long, undefined],
    ['none for longer', at('08:44:59'), at('08:44:59'), long, /no window is done after 2026-06-01T08:44:59Z/],
    ['it catches up with a long past', long, at('11:59:00'), long, undefined],
    ['nothing was ever done', null, null, long, /no window of it was ever done/],
    ['nobody has watched for long', null, null, at('10:00:00'), undefined],
  ])('%s', async (_, doneUntil, lastDoneAt, watchedSince, expected) => {
    const signs = { status: status(doneUntil, lastDoneAt), ticks, adoption: undefined, watchedSince };
    const gap = gapOf(await scheduled(), signs, 3_600_000, now);
    if (expected) expect(gap).toMatch(expected);
    else expect(gap).toBeUndefined();
  });

  test('never, if nobody schedules it', async () => {
    const signs = { status: undefined, ticks: undefined, adoption: undefined, watchedSince: long };
    expect(gapOf(await scheduled({}), signs, 0, now)).toBeUndefined();
  });

  test('if entries to adopt were not looked at', async () => {
    const definition = await scheduled({ adopt: { title: 'Nightly' } });
    const adoption = (lastLookAt: Date | null) => ({
      definition: 'hourly',
      since: long,
      lastLookAt,
      nextLookAt: now,
      matched: 0,
      inProgress: 0,
      waiting: 0,
      reason: null,
    });
    const signs = { status: undefined, ticks: undefined, watchedSince: long };
    expect(gapOf(definition, { ...signs, adoption: adoption(at('11:50:00')) }, 0, now)).toBeUndefined();
    expect(gapOf(definition, { ...signs, adoption: adoption(at('11:49:00')) }, 0, now)).toMatch(/11:49:00Z/);
  });
});

describe('what a message says', () => {
  const message = { id: 'm1', groups: [group], more: 0 };
  const text =
    'udm-sync: 12 files given up in run 5 (hourly, tenant acme, 2026-06-01T00:00Z → 2026-06-01T01:00Z), still upstream — a.zip, b.zip, c.zip and 9 more: the upstream answered 500';

  test('as JSON: a stable contract', async () => {
    expect(JSON.parse(renderMessage(await webhook(), message))).toEqual({
      version: 1,
      id: 'm1',
      webhook: 'ops',
      test: false,
      text,
      events: [
        {
          kind: 'file-dead',
          definition: 'hourly',
          tenant: 'acme',
          run: 5,
          window: { from: '2026-06-01T00:00:00.000Z', to: '2026-06-01T01:00:00.000Z' },
          count: 12,
          files: ['a.zip', 'b.zip', 'c.zip', 'd.zip'],
          reason: 'the upstream answered 500',
          firstAt: '2026-06-01T02:00:00.000Z',
          lastAt: '2026-06-01T02:01:00.000Z',
          text,
        },
      ],
      more: 0,
    });
  });

  test('in Slack, names are shown and mean nothing', async () => {
    const evil = { ...group, count: 1, files: [hostile], reason: hostile };
    const body = slackOf(renderMessage(await webhook({ format: 'slack' }), { ...message, groups: [evil] }));
    expect(body.text).not.toMatch(/[<>\u202e\n]/);
    expect(body.text).toContain('&lt;!channel&gt;');
    expect(body.mrkdwn).toBe(false);
    expect(body.blocks).toHaveLength(1);
    expect(body.blocks[0]?.text).toMatchObject({ type: 'plain_text', emoji: false });
    expect(body.blocks[0]?.text.text).toContain(
      '<!channel> "quoted" & <https://evil.example|click> \\u202e\\n',
    );
  });

  test('a template may use mrkdwn; what is filled in may not', async () => {
    const template = '<!here> *{kind}* in {definition}/{run}: {count} × {file}, {reason} {window} {tenant}';
    const evil = { ...group, files: [hostile, 'b'], reason: '{kind} $& $1' };
    const body = slackOf(
      renderMessage(await webhook({ format: 'slack', template }), { ...message, groups: [evil] }),
    );
    const block = body.blocks[0]?.text;
    expect(block).toMatchObject({ type: 'mrkdwn', verbatim: true });
    expect(block?.text).toMatch(/^<!here> \*file-dead\* in hourly\/5: 12 × &lt;!channel&gt; /);
    expect(block?.text).toContain(', {kind} $&amp; $1 2026-06-01T00:00Z');
    expect(block?.text.slice('<!here>'.length)).not.toMatch(/[<>]/);
  });

  test('the same template as JSON shows names as they are', async () => {
    const plain = await webhook({ template: '{kind} {file}' });
    const evil = { ...group, files: [hostile] };
    const body = plainOf(renderMessage(plain, { ...message, groups: [evil] }));
    expect(body.text).toBe(`file-dead ${hostile.replace('\u202e', '\\u202e').replace('\n', '\\n')}`);
    expect(body.events[0]?.files).toEqual([hostile]);
  });

  test('the longest fits what Slack takes', async () => {
    const huge = {
      ...group,
      definition: 'd'.repeat(63),
      files: ['x'.repeat(5000)],
      reason: '&'.repeat(9000),
    };
    const groups = Array.from({ length: 20 }, () => huge);
    const template = `{text}{text}{text}{file}{reason}`;
    const body = slackOf(
      renderMessage(await webhook({ format: 'slack', template }), { id: 'm', groups, more: 7 }),
    );
    expect(body.blocks).toHaveLength(21);
    for (const block of body.blocks) expect(block.text.text.length).toBeLessThanOrEqual(3000);
    expect(body.blocks[20]?.text.text).toContain('and 7 more');
  });
});

describe('the settings', () => {
  test('have defaults, and the URL is a secret as a whole', async () => {
    const { url: kept, ...rest } = await webhook();
    expect(kept).toBe(url);
    expect(rest).toEqual({
      name: 'ops',
      format: 'json',
      on: ['run-failed', 'gap', 'expiry-warning', 'expiry-critical', 'file-dead', 'file-lost', 'recovered'],
      groupForMs: 30_000,
      minIntervalMs: 900_000,
      timeoutMs: 10_000,
      giveUpAfterMs: 86_400_000,
      gapGraceMs: 3_600_000,
      tenants: [],
      definitions: [],
    });
    expect((await load()).notifications).toEqual({});
  });

  test.each([
    [{ url: 'http://hooks.example.com/planted' }, /url: must be an https/],
    [{ url: 'https://user:planted@hooks.example.com/' }, /url: must be an https/],
    [{ url: 'planted' }, /url: must be an https/],
    [{ on: ['run-fialed'] }, /on: must be a list of some of run-failed, gap/],
    [{ template: '{nmae}' }, /template: has \{nmae\}, which is no placeholder; known are \{kind\}/],
    [{ tenants: ['acem'] }, /tenants: must be the name of one of tenants; known are acme/],
    [{ definitions: ['daily'] }, /definitions: must be the name of one of definitions/],
    [{ groupFor: '2h' }, /groupFor: must be a duration from 0s to 1h/],
  ])('%j is a mistake', async (more, expected) => {
    const found = await mistakes({ 'notifications/ops': { url, ...more } });
    expect(found).toEqual([expect.stringMatching(expected)]);
    expect(found.join()).not.toContain('planted');
  });

  test('http is for this machine alone', async () => {
    expect((await webhook({ url: 'http://127.0.0.1:9/x' })).url).toBe('http://127.0.0.1:9/x');
  });
});
