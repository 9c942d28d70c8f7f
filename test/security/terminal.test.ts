import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { definition, makePlace } from '../cli/place.ts';
import type { Place } from '../cli/place.ts';

/** Text of the upstream reaches terminals and logs: names of files, status words, reasons. */

const escape = '\u001b[2J\u001b]0;owned\u0007\u009b31m';
const forged = '\r\n{"level":"fatal","msg":"forged"}\r\nFORGED: all is well';
const turned = '\u202egpj.exe\u2066\u200f\u2028';
const evil = `${escape}${forged}${turned}`;

/** All that a terminal obeys, but for the line feeds that we print ourselves. */
const obeyed = /(?!\n)[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

function expectHarmless(text: string): void {
  expect(text.match(obeyed)).toBeNull();
  expect(text).not.toMatch(/^\s*\{"level":"fatal"/m);
  expect(text).not.toMatch(/^\s*FORGED/m);
}

let place: Place;
beforeAll(async () => {
  place = await makePlace({
    filesFor: ({ type }) => (type === 'Contacts' ? [{ name: `evil${evil}.zip`, size: 100 }] : []),
    statusWords: { inProgress: `pondering${evil}` },
    exportDuration: 300,
  });
  place.simulator.faults.add({ endpoint: /GET \/s3\/evil/, kind: 'status', status: 404 });
  await place.configure({
    definitions: {
      named: definition(),
      failing: definition({ type: 'Interactions' }),
    },
    log: { level: 'trace', format: 'json' },
  });
});
/** Lets the first job of either definition fail, with words of its own. */
const failFirst = () =>
  place.simulator.faults.add({
    endpoint: 'POST /v10/export/jobs',
    kind: 'job-fails',
    reason: `because ${evil}`,
    times: 2,
  });
afterAll(() => place[Symbol.asyncDispose]());

describe('what the upstream says', () => {
  test('forges no line of the JSON log and steers no terminal', async () => {
    failFirst();
    const { stdout, stderr } = await place.run('run');
    expectHarmless(stdout);
    expectHarmless(stderr);
    const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
    expect(lines.length).toBeGreaterThan(10);
    const messages = lines.map((line) => {
      const parsed: unknown = JSON.parse(line);
      return parsed && typeof parsed === 'object' && 'msg' in parsed ? parsed.msg : undefined;
    });
    expect(messages).toContain('file lost: the upstream no longer has it, and we never did');
    expect(messages).not.toContain('forged');
    // It is said all the same, and JSON gives it back whole.
    expect(
      lines.some((line) => JSON.stringify(JSON.parse(line)).includes(JSON.stringify(evil).slice(1, -1))),
    ).toBe(true);
  });

  test('nor of the pretty one', async () => {
    await place.sql('truncate udm_sync.runs cascade');
    failFirst();
    const { stdout, stderr } = await place.run('run', { UDM_SYNC_LOG__FORMAT: 'pretty' });
    expect(stdout).toMatch(/file lost/);
    expectHarmless(stdout);
    expectHarmless(stderr);
  });

  test('is shown by runs, status and run-history, and obeyed by nobody', async () => {
    const ids = (await place.sql<{ id: string }>('select id from udm_sync.runs')).map(({ id }) => id);
    expect(ids).toHaveLength(2);
    const commands = ['runs', 'runs --json', 'status', 'status --json'];
    for (const id of ids) commands.push(`run-history ${id}`, `run-history ${id} --json`);
    let seen = '';
    for (let at = 0; at < commands.length; at += 4) {
      const some = commands.slice(at, at + 4);
      const ended = await Promise.all(some.map((command) => place.run(command)));
      for (const [index, { code, stdout, stderr }] of ended.entries()) {
        expect(code, stderr).toBe(0);
        expectHarmless(stdout);
        expectHarmless(stderr);
        if (some[index]?.endsWith('--json')) JSON.parse(stdout);
        seen += stdout;
      }
    }
    expect(seen).toContain(String.raw`evil\u001b[2J\u001b]0;owned\u0007\u009b31m\r\n{"level":"fatal"`);
    expect(seen).toContain(String.raw`\u202egpj.exe`);
    expect(seen).toContain('because');
  });
});

test('progress bars do not either', async () => {
  const bars = `
    import { EventEmitter } from 'node:events';
    import { showBars, showLines } from ${JSON.stringify(join(import.meta.dirname, '../../src/cli/progress.ts'))};
    const events = new EventEmitter();
    const name = ${JSON.stringify(`evil${evil}`)};
    const run = { definition: 'contacts', windowFrom: new Date(0) };
    const views = [showLines(events), showBars(events)];
    events.emit('event', { kind: 'bytes', run, fileId: 1, name, bytes: 1, total: 2 });
    events.emit('event', { kind: 'file', run, fileId: 1, name, state: 'lost', bytes: 2 });
    events.emit('event', { kind: 'run', run, from: 'exporting', to: 'failed', reason: name });
    for (const view of views) view.stop();`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', bars], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await once(child, 'close');
  expect(child.exitCode).toBe(0);
  expect(said).toContain('lost');
  expectHarmless(said);
});
