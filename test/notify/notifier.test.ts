import { Writable } from 'node:stream';
import { stringify } from 'yaml';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { maskedConfig } from '../../src/config/print.ts';
import { startNotifier, tell } from '../../src/notify/notifier.ts';
import type { NotifierDeps } from '../../src/notify/notifier.ts';
import { openDatabase } from '../../src/store/database.ts';
import { Rows } from '../page/rows.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { Receiver } from './receiver.ts';

const secret = 'planted-webhook-secret-4e1d';
const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0)) await step();
});

/** A database, a receiver, and as many processes as a test wants, each with lines of log of its own. */
async function begin(settings: Record<string, unknown> = {}) {
  const receiver = await Receiver.start();
  const database = await createTestDatabase();
  const rows = new Rows(database.url);
  const text = stringify({
    tenants: {
      acme: { baseUrl: 'https://gapi.example.com', apiKey: 'k', auth: { grant: 'token', token: 't' } },
    },
    sinks: { lake: { type: 'filesystem', directory: '/nowhere' } },
    definitions: {
      'contacts-hourly': {
        tenant: 'acme',
        sink: 'lake',
        source: 'UCSX',
        type: 'contacts',
        schedule: { cron: '5 * * * *' },
      },
      other: { tenant: 'acme', sink: 'lake', source: 'UCSX', type: 'contacts' },
    },
    notifications: { ops: { url: receiver.url(), groupFor: '0s', minInterval: '0s', ...settings } },
  });
  const config = await loadConfig({ text, env: {} });
  const webhook = config.notifications['ops'];
  if (!webhook) throw new Error('there is no webhook');
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  const logger = pino({ level: 'trace', formatters: { level: (level) => ({ level }) } }, stream);
  const closing: (() => Promise<unknown>)[] = [];
  const process = async (who: string): Promise<NotifierDeps> => {
    const handle = await openDatabase(database.url, 4, logger);
    const { db } = handle;
    closing.push(async () => (db.$client.ended ? undefined : handle.close()));
    return { config, db, logger, who };
  };
  cleanup.push(
    async () => Promise.all(closing.map((close) => close())),
    () => rows.close(),
    () => database.drop(),
    () => receiver[Symbol.asyncDispose](),
  );
  const deps = await process('host/1/one');
  const look = (one = deps) => tell(one, webhook);
  // From its first look on, it watches.
  await look();
  let hours = 0;
  const failedRun = async (definition = 'contacts-hourly', reason = 'it broke') => {
    hours += 1;
    const run = await rows.run({
      definition,
      from: new Date(Date.UTC(2026, 0, 1, hours)),
      state: 'failed',
      reason,
    });
    await rows.history({ run, subject: 'run', from: 'planned', to: 'failed', reason });
    return run;
  };
  const kinds = () =>
    receiver.bodies().map((body) => (body as { events: { kind: string }[] }).events.map((each) => each.kind));
  return { receiver, rows, config, webhook, lines, process, deps, look, failedRun, kinds };
}

describe('what is told', () => {
  test('a run that failed, once; and that it is over, once it is done', async () => {
    const { receiver, rows, look, failedRun } = await begin();
    const run = await failedRun();
    await look();
    await look();
    expect(receiver.bodies()).toMatchObject([
      { version: 1, webhook: 'ops', events: [{ kind: 'run-failed', run, count: 1, reason: 'it broke' }] },
    ]);
    await rows.sql(`update udm_sync.runs set state = 'done', finished_at = now()`);
    await look();
    await look();
    expect(receiver.bodies().slice(1)).toMatchObject([
      { events: [{ kind: 'recovered', run, reason: 'the run is done' }] },
    ]);
  });

  test('nothing that was before the webhook', async () => {
    const { receiver, rows, look, failedRun } = await begin();
    const run = await failedRun();
    await rows.sql(`update udm_sync.history set at = at - interval '1 hour' where run_id = ${run}`);
    await look();
    expect(receiver.requests).toEqual([]);
  });

  test('a line that was committed late, after later ones were told', async () => {
    const { receiver, rows, look, failedRun } = await begin();
    await rows.sql(`update udm_sync.webhooks set since = since - interval '1 hour'`);
    await failedRun();
    await look();
    const late = await failedRun();
    await rows.sql(`update udm_sync.history set at = at - interval '2 minutes' where run_id = ${late}`);
    await look();
    expect(receiver.bodies()).toMatchObject([{}, { events: [{ kind: 'run-failed', run: late }] }]);
  });

  test('many files of a run as one', async () => {
    const { receiver, rows, look } = await begin();
    const run = await rows.run({ from: new Date('2026-01-01T00:00:00Z'), state: 'transferring' });
    const made = await rows.export(run, 'completed');
    for (let n = 1; n <= 12; n += 1) {
      const state = n === 12 ? 'lost' : 'dead';
      const file = await rows.file({ run, export: made, name: `f${n}.zip`, state });
      await rows.history({ run, file, subject: 'file', from: 'transferring', to: state, reason: 'no' });
    }
    await look();
    expect(receiver.bodies()).toMatchObject([
      {
        events: [
          { kind: 'file-dead', run, count: 11, files: ['f1.zip', 'f2.zip', 'f3.zip'].concat(names(4, 10)) },
          { kind: 'file-lost', run, count: 1, files: ['f12.zip'] },
        ],
      },
    ]);
  });

  test('files whose time runs out, by what history says of their run', async () => {
    const { rows, look, kinds } = await begin();
    const run = await rows.run({ from: new Date('2026-01-01T00:00:00Z'), state: 'transferring' });
    for (const level of ['warning', 'critical', 'other'])
      await rows.history({
        run,
        subject: 'run',
        from: 'transferring',
        to: 'transferring',
        reason: `${level}: 3 files are not safe yet`,
      });
    await look();
    expect(kinds()).toEqual([['expiry-warning', 'expiry-critical']]);
  });

  test('a definition that is overdue, and that it no longer is', async () => {
    const { receiver, rows, look } = await begin({ on: 'gap, recovered' });
    await look();
    expect(receiver.requests).toEqual([]);
    await rows.sql(`update udm_sync.webhooks set since = since - interval '1 day'`);
    await look();
    await look();
    expect(receiver.bodies()).toMatchObject([
      { events: [{ kind: 'gap', definition: 'contacts-hourly', run: null, window: null }] },
    ]);
    await rows.run({ from: new Date(Date.now() - 3_600_000), state: 'done' });
    await look();
    expect(receiver.bodies().slice(1)).toMatchObject([
      { events: [{ kind: 'recovered', definition: 'contacts-hourly', run: null }] },
    ]);
  });

  test('only what it asks for', async () => {
    const { receiver, failedRun, look } = await begin({ on: ['run-failed'], definitions: ['other'] });
    await failedRun('contacts-hourly');
    const run = await failedRun('other');
    await look();
    expect(receiver.bodies()).toMatchObject([{ events: [{ kind: 'run-failed', run }] }]);
  });
});

function names(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, n) => `f${from + n}.zip`);
}

describe('how it is told', () => {
  test('what happens within groupFor goes into one message, and minInterval passes before the next', async () => {
    const { receiver, rows, look, failedRun, kinds } = await begin({ groupFor: '1h', minInterval: '1d' });
    const age = (column: string, table: string) =>
      rows.sql(`update udm_sync.${table} set ${column} = ${column} - interval '61 minutes'`);
    await failedRun();
    await look();
    await failedRun();
    await look();
    expect(receiver.requests).toEqual([]);
    await age('created_at', 'notices');
    await look();
    expect(kinds()).toEqual([['run-failed', 'run-failed']]);
    await failedRun();
    await look();
    await age('created_at', 'notices');
    await look();
    expect(kinds()).toHaveLength(1);
    await rows.sql(`update udm_sync.webhooks set last_sent_at = last_sent_at - interval '1 day'`);
    await look();
    expect(kinds()).toEqual([['run-failed', 'run-failed'], ['run-failed']]);
  });

  test('a message that failed is sent again, the same, until it arrives', async () => {
    const { receiver, rows, look, failedRun, lines } = await begin();
    const again = async () => {
      await rows.sql('update udm_sync.webhooks set next_try_at = null');
      await look();
    };
    receiver.next.push(500, 'reset', 410, 302, 200);
    await failedRun();
    await look();
    await look();
    expect(receiver.requests).toHaveLength(1);
    await failedRun();
    for (let n = 0; n < 4; n += 1) await again();
    const [first, ...others] = receiver.requests;
    expect(others).toHaveLength(4);
    for (const other of others) {
      expect(other.body).toBe(first?.body);
      expect(other.headers['idempotency-key']).toBe(first?.headers['idempotency-key']);
    }
    const failures = lines.filter(({ level }) => level === 'warn').map(({ reason }) => reason);
    expect(failures).toEqual([
      'HTTP 500',
      expect.stringMatching(/^no answer \((ECONNRESET|UND_ERR_SOCKET)\)$/),
      'HTTP 410',
      'HTTP 302',
    ]);
    await look();
    expect(receiver.requests).toHaveLength(6);
    expect(receiver.bodies()[5]).toMatchObject({ events: [{ kind: 'run-failed', count: 1 }] });
  });

  test('a receiver that does not answer holds it up for no longer than the timeout', async () => {
    const { receiver, look, failedRun, lines } = await begin({ timeout: '100ms' });
    receiver.next.push(() => undefined);
    await failedRun();
    await look();
    expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([
      { webhook: 'ops', reason: 'no answer (none within 100 ms)' },
    ]);
  });

  test('no redirect is followed', async () => {
    const { receiver, look, failedRun } = await begin();
    receiver.next.push((response) => {
      response.writeHead(307, { location: receiver.url('/elsewhere') }).end();
    });
    await failedRun();
    await look();
    expect(receiver.requests.map(({ path }) => path)).toEqual([`/services/${secret}`]);
  });

  test('what cannot be told is given up at last, with a line of log, and the next is told', async () => {
    const { receiver, rows, look, failedRun, lines, kinds } = await begin({ giveUpAfter: '1h' });
    receiver.next.push(500);
    await failedRun();
    await look();
    await rows.sql(`update udm_sync.webhooks set next_try_at = null`);
    await rows.sql(`update udm_sync.notices set created_at = created_at - interval '61 minutes'`);
    receiver.next.push(500);
    await look();
    expect(lines.filter(({ level }) => level === 'error')).toMatchObject([
      { webhook: 'ops', status: 500, reason: 'HTTP 500', msg: expect.stringContaining('given up') },
    ]);
    await failedRun('other');
    await look();
    expect(kinds().slice(2)).toEqual([['run-failed']]);
    // Nobody heard that it failed.
    await rows.sql(`update udm_sync.runs set state = 'done' where definition = 'contacts-hourly'`);
    await look();
    expect(receiver.requests).toHaveLength(3);
  });

  test('a message that the receiver refuses for what it says holds up the others for five attempts', async () => {
    const { receiver, rows, look, failedRun } = await begin();
    receiver.next.push(400, 400, 400, 400, 400);
    await failedRun();
    for (let n = 0; n < 7; n += 1) {
      await look();
      await rows.sql('update udm_sync.webhooks set next_try_at = null');
    }
    expect(receiver.requests).toHaveLength(5);
  });
});

describe('several processes', () => {
  test('of two that look at once, one tells', async () => {
    const { receiver, process, look, failedRun } = await begin();
    const others = [await process('host/2/two'), await process('host/3/three')];
    await failedRun();
    await Promise.all([look(), ...others.flatMap((other) => [look(other), look(other)])]);
    expect(receiver.requests).toHaveLength(1);
  });

  test('what a process was telling when it died, another tells again; nothing else twice', async () => {
    const { receiver, rows, process, look, failedRun, kinds } = await begin();
    const other = await process('host/2/two');
    // Told, and dead before it could note so: the commit comes to nothing.
    const dying = await process('host/3/dying');
    receiver.next.push((response) => {
      void dying.db.$client.end().then(() => response.writeHead(200).end());
    });
    await failedRun();
    await expect(look(dying)).rejects.toThrow();
    await look(other);
    expect(receiver.requests).toHaveLength(1);
    await rows.sql(`update udm_sync.webhooks set claimed_until = now()`);
    await failedRun();
    await look(other);
    await look(other);
    await look();
    expect(kinds()).toEqual([['run-failed'], ['run-failed'], ['run-failed']]);
    const [first, second, third] = receiver.requests.map(({ headers }) => headers['idempotency-key']);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
  });

  test('a process that ends tells what waits; one that is only replaced leaves it to the next', async () => {
    const { receiver, deps, process, failedRun } = await begin({ groupFor: '1h' });
    await failedRun();
    await startNotifier(deps).stop();
    expect(receiver.requests).toHaveLength(0);
    await startNotifier(await process('host/2/run')).stop({ tellAll: true });
    expect(receiver.requests).toHaveLength(1);
  });

  test('it tells by itself, and goes on when Postgres has refused a look', async () => {
    const { receiver, rows, deps, failedRun, lines } = await begin();
    await rows.sql('alter table udm_sync.notices rename to hidden');
    const notifier = startNotifier(deps, 20);
    try {
      await expect.poll(() => lines.some(({ level }) => level === 'error'), { timeout: 30_000 }).toBe(true);
      await rows.sql('alter table udm_sync.hidden rename to notices');
      await failedRun();
      await expect.poll(() => receiver.requests.length, { timeout: 30_000 }).toBe(1);
    } finally {
      await notifier.stop();
    }
  });
});

test('the URL and what the receiver says are in no table, log or print of the config', async () => {
  const { receiver, rows, config, look, failedRun, lines } = await begin({ timeout: '100ms' });
  receiver.next.push(500, 'reset', (response) => void response.writeHead(200).write('told-body-9c2f'));
  await failedRun();
  for (let n = 0; n < 4; n += 1) {
    await look();
    await rows.sql('update udm_sync.webhooks set next_try_at = null');
  }
  expect(receiver.requests.length).toBeGreaterThan(2);
  const tables = await Promise.all(
    ['webhooks', 'notices', 'history', 'runs'].map((table) => rows.sql(`select * from udm_sync.${table}`)),
  );
  for (const shown of [tables, lines, maskedConfig(config)]) {
    expect(JSON.stringify(shown)).not.toContain(secret);
    expect(JSON.stringify(shown)).not.toContain('told-body-9c2f');
    expect(JSON.stringify(shown)).not.toContain(new URL(receiver.url()).port + '/');
  }
});
