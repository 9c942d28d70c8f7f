import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { z } from 'zod';
import type { CrashPoint, Effect } from '../../src/crash-points.ts';
import type { Adopted, Expectation } from '../auditor/facts.ts';
import { Receiver } from '../notify/receiver.ts';
import { atPoint, journeys } from './journeys.ts';
import type { Stage } from './journeys.ts';
import type { Running } from './processes.ts';
import { lastWindows, prefix } from './world.ts';
import type { World } from './world.ts';

/**
 * What becomes of a process that has stopped at a point.
 *
 * - `kill`: killed, and a new worker is started.
 * - `kill-beside`: killed while another worker runs.
 * - `freeze`: stands still until another worker has done all its work, then runs on.
 * - `freeze-overlap`: stands still until another worker has taken over, then both run.
 */
export const modes = ['kill', 'kill-beside', 'freeze', 'freeze-overlap'] as const;
export type Mode = (typeof modes)[number];

const preload = join(import.meta.dirname, 'stop-at-point.ts');
const hour = 3_600_000;

export interface ScenarioOptions {
  readonly point: CrashPoint;
  readonly mode: Mode;
  /**
   * Whether the 10 s that a silent worker has are really waited for; else Postgres is told that they are over. One that
   * was frozen knows better: its own clock says how long it stood still.
   */
  readonly realTime: boolean;
}

/** What the auditor is to expect of a scenario. */
export interface Outcome {
  readonly expected: readonly Expectation[];
  readonly adopted: readonly Adopted[];
}

/** Plays one scenario until its run is done and every process of it has ended; returns what the auditor is to expect. */
export async function play(world: World, { point, mode, realTime }: ScenarioOptions): Promise<Outcome> {
  const effect = effectOf(point);
  const journey = journeys[effect];
  const definition = [journey.name, mode, point.replace(':', '-')].filter(Boolean).join('-');
  const { windows, expectation } = lastWindows(definition, hour, 1, journey.keys);
  const schedule = { cron: '0 0 1 1 *' };
  const work =
    journey.adopts === true ? { adopt: { title: definition, every: '1s' } } : { windows, schedule };
  await using receiver = await Receiver.start();
  const webhook = {
    url: receiver.url(),
    on: ['run-failed'],
    groupFor: '0s',
    minInterval: '0s',
    timeout: '1s',
  };
  const config = await world.configure(
    { [definition]: { ...work, ...journey.settings } },
    journey.tells === true ? { notifications: { [definition]: webhook } } : {},
  );
  const stage: Stage = {
    world,
    definition,
    config,
    startArmed: (at, ...args) =>
      world.startWith(preload, { ...journey.env, UDM_SYNC_TEST_STOP_AT: at }, config, ...args),
    until: async (state) => {
      const text = 'select id from udm_sync.runs where definition = $1 and state = $2';
      return (await world.row<{ id: string }>(text, [definition, state])).id;
    },
  };
  for (const fault of journey.faults ?? []) await world.upstream.tell('faults', fault);
  await journey.prepare?.(stage);

  const armed = stage.startArmed(point, ...((await journey.command?.(stage)) ?? ['worker']));
  await Promise.all([atPoint(armed, point), journey.steer?.(stage, armed)]);
  await stopped(armed.pid);
  const held = await activeJobs(world);

  const kill = async () => {
    armed.signal('SIGKILL');
    expect((await armed.ended).code).toBeNull();
  };
  if (mode === 'kill') await kill();
  const other = world.start(config, 'worker');
  if (mode === 'kill-beside') {
    await said(other, 'worker is running');
    await kill();
  }
  if (!realTime) await silenceIsOver(world, held);
  if (mode === 'freeze-overlap') {
    await takenOver(world, held);
    armed.signal('SIGCONT');
  }
  await journey.afterwards?.(stage);
  await stage.until('done');
  if (journey.tells === true) await toldOnce(receiver, definition);
  const before = await changesUpstream(world);
  if (mode === 'freeze') armed.signal('SIGCONT');

  // One that was frozen is not told to stop before it has gone on: it may do all the harm it can.
  if (mode.startsWith('freeze')) await nothingActive(world);
  for (const process of [armed, other]) {
    // Told a second time, a process ends at once.
    if (process !== armed || journey.stops !== true) process.signal('SIGTERM');
    const { code } = await process.ended;
    if (code !== null) expect(code, process.said()).toBe(0);
  }
  // All was done when it woke: whatever it still asked for, nobody wanted any more.
  if (mode === 'freeze') expect(await changesUpstream(world)).toEqual(before);
  await world.upstream.calm();
  await world.upstream.tell('clock', { speed: 60 });
  return journey.adopts === true
    ? { adopted: [{ tenant: 'demo', definition, prefix, title: definition }], expected: [] }
    : { adopted: [], expected: [expectation] };
}

const message = z.object({
  id: z.string(),
  events: z.array(z.object({ kind: z.string(), definition: z.string() })),
});

/** Waits until a webhook was told; however often that was, it was one message. */
async function toldOnce(receiver: Receiver, definition: string): Promise<void> {
  await vi.waitFor(() => expect(receiver.requests).not.toEqual([]), { timeout: 60_000, interval: 50 });
  const messages = receiver.bodies().map((body) => message.parse(body));
  expect(new Set(messages.map(({ id }) => id)).size).toBe(1);
  expect(messages[0]?.events).toEqual([{ kind: 'run-failed', definition }]);
}

export function effectOf(point: CrashPoint): Effect {
  return point.replace(/^(before|after):/, '') as Effect;
}

/** Waits until the process has printed this. */
export async function said(process: Running, text: string): Promise<void> {
  await vi.waitFor(
    () => {
      if (!process.said().includes(text)) throw new Error(`The process never said "${text}".`);
    },
    { timeout: 60_000, interval: 20 },
  );
}

/** Waits until no thread of the process runs any more. */
async function stopped(pid: number): Promise<void> {
  await vi.waitFor(
    async () => {
      const state = /\) (.)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8'))?.[1];
      if (state !== 'T') throw new Error(`Process ${pid} does not stop: ${state ?? '?'}`);
    },
    { timeout: 60_000, interval: 10 },
  );
}

const requests = z.array(z.object({ method: z.string(), path: z.string() }));

/** Every request upstream that makes, changes or deletes something. */
async function changesUpstream(world: World): Promise<string[]> {
  return requests
    .parse(await world.upstream.ask('log'))
    .filter(({ method, path }) => method !== 'GET' && !path.endsWith('/token'))
    .map(({ method, path }) => `${method} ${path}`);
}

interface Held {
  readonly id: string;
  readonly attempt: number;
}

/** The queue jobs that a worker holds now. */
async function activeJobs(world: World): Promise<Held[]> {
  return world.sql<Held>(`select id, retry_count as attempt from udm_sync_queue.job where state = 'active'`);
}

/** What ten seconds of silence bring about. */
async function silenceIsOver(world: World, held: readonly Held[]): Promise<void> {
  for (const { id, attempt } of held)
    await world.sql(
      `update udm_sync_queue.job set heartbeat_on = heartbeat_on - interval '10 seconds'
       where id = $1 and retry_count = $2 and state = 'active'`,
      [id, attempt],
    );
}

/** Waits until none of these attempts is a worker's any more. */
async function takenOver(world: World, held: readonly Held[]): Promise<void> {
  for (const { id, attempt } of held)
    await world.row(
      `select 1 where not exists (select 1 from udm_sync_queue.job
         where id = $1 and (retry_count = $2 or state = 'retry'))`,
      [id, attempt],
    );
}

/** Waits until no worker holds anything: whoever was frozen has found that out too. */
async function nothingActive(world: World): Promise<void> {
  await world.row(`select 1 where not exists (select 1 from udm_sync_queue.job where state = 'active')`);
}
