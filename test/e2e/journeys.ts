/** How a process of the program comes to each of its crash points. */
import { expect, vi } from 'vitest';
import { z } from 'zod';
import type { CrashPoint, Effect } from '../../src/crash-points.ts';
import type { Running } from './processes.ts';
import { diskPrefix } from './world.ts';
import type { World } from './world.ts';

/** One definition with one window, in a world of which it has the use for as long as it takes. */
export interface Stage {
  readonly world: World;
  readonly definition: string;
  readonly config: string;
  /** Starts a command that stops itself at the point. */
  readonly startArmed: (point: CrashPoint, ...args: string[]) => Running;
  /** Waits until the run is in this state, and returns its id. */
  readonly until: (state: string) => Promise<string>;
}

export interface Journey {
  /** What a definition's name begins with decides about its files. */
  readonly name?: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Whether the definition collects what a job of people with its name as title has made, and exports nothing. */
  readonly adopts?: boolean;
  /** Whether a webhook has to be told that the run had failed. */
  readonly tells?: boolean;
  /** What keys in its sink begin with. */
  readonly keys?: string;
  readonly faults?: readonly Readonly<Record<string, unknown>>[];
  /** Before the process starts that is to stop. */
  readonly prepare?: (stage: Stage) => Promise<void>;
  /** The command that is to stop; `worker` by default. */
  readonly command?: (stage: Stage) => Promise<string[]>;
  /** Variables of the process that is to stop. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether `steer` tells the process to stop. */
  readonly stops?: boolean;
  /** Once it has been started. */
  readonly steer?: (stage: Stage, armed: Running) => Promise<void>;
  /** Once it has stopped and another worker runs: what the run needs to be done. */
  readonly afterwards?: (stage: Stage) => Promise<void>;
}

/** Waits until the process has said that it is at the point. */
export async function atPoint(armed: Running, point: CrashPoint): Promise<void> {
  const looked = vi.waitFor(
    () => {
      if (!armed.said().includes(`stopped at ${point}\n`)) throw new Error(`It never came to ${point}.`);
    },
    { timeout: 90_000, interval: 20 },
  );
  await Promise.race([
    looked,
    armed.ended.then(() => {
      throw new Error(`The process ended before it came to ${point}.`);
    }),
  ]);
}

/** Leaves behind what a worker that was killed at the point leaves. */
async function diedAt({ startArmed }: Stage, point: CrashPoint): Promise<void> {
  const worker = startArmed(point, 'worker');
  await atPoint(worker, point);
  worker.signal('SIGKILL');
  await worker.ended;
}

/** The upstream's time stands still while an export runs. */
async function exporting({ world, until }: Stage): Promise<string> {
  await world.upstream.tell('clock', { speed: 0 });
  return until('exporting');
}

async function retried({ world, config, until }: Stage, state: 'failed' | 'cancelled'): Promise<void> {
  const id = await until(state);
  await world.upstream.tell('clock', { speed: 60 });
  expect((await world.run(config, 'retry', id)).code).toBe(0);
}

const fired = z.array(z.object({ fired: z.number() }));

const whole: Journey = { settings: { delete: 'files-and-job' } };
const inParts: Journey = { name: 'large' };
const onDisk: Journey = { settings: { sink: 'disk' }, keys: diskPrefix };
/** A job of people, which has run once. */
const adopting: Journey = {
  adopts: true,
  async prepare({ world, definition }) {
    const made = await world.upstream.tell('jobs', {
      source: 'UCSX',
      type: 'contacts',
      title: definition,
      timeFrame: { all: true },
      schedulerParam: { immediately: false, cron: '0 2 * * *' },
    });
    const at = new Date(Date.now() - 3_600_000).toISOString();
    await world.upstream.tell('runs', { job: z.object({ id: z.string() }).parse(made).id, at });
  },
};
/** The upstream refuses a create request, and changes its mind. */
const refused: Journey = {
  faults: [
    { endpoint: 'POST /v10/export/jobs', kind: 'status', status: 403, body: { message: 'no role' }, nth: 1 },
  ],
};
const failing = { faults: [{ endpoint: 'POST /v10/export/jobs', kind: 'job-fails', nth: 1 }] };
const failed: Journey = {
  ...failing,
  settings: { retry: { attempts: 1, minDelay: '200ms', maxDelay: '1s' } },
  afterwards: (stage) => retried(stage, 'failed'),
};
const told: Journey = { ...failed, tells: true };
const cancelled: Journey = {
  async steer(stage) {
    const id = await exporting(stage);
    expect((await stage.world.run(stage.config, 'cancel', id)).code).toBe(0);
  },
  afterwards: (stage) => retried(stage, 'cancelled'),
};

export const journeys: Readonly<Record<Effect, Journey>> = {
  plan: whole,
  'commit-creating': whole,
  'note-create': whole,
  'create-job': whole,
  'commit-exporting': whole,
  'commit-collecting': whole,
  'commit-transferring': whole,
  'claim-files': whole,
  's3-put': whole,
  'commit-files': whole,
  manifest: whole,
  'commit-stored': whole,
  'delete-files': whole,
  'note-deleted': whole,
  'delete-history': whole,
  'claim-message': told,
  'send-message': told,
  'commit-message': told,
  'delete-job': whole,
  'commit-done': whole,

  // An export that goes on for as long as somebody looks.
  'commit-wait': {
    ...whole,
    async prepare({ world }) {
      await world.upstream.tell('clock', { speed: 0 });
    },
    async afterwards({ world }) {
      await world.upstream.tell('clock', { speed: 60 });
    },
  },

  's3-begin': inParts,
  'note-upload': inParts,
  's3-part': inParts,
  'note-part': inParts,
  's3-complete': inParts,
  'forget-upload': inParts,
  // The file changes under the transfer, which begins anew.
  's3-abort': { ...inParts, faults: [{ endpoint: 'GET /s3/{filename}', kind: 'changed', nth: 2 }] },

  'write-file': onDisk,
  'rename-file': onDisk,

  'take-back-create': refused,
  'commit-failure': refused,
  'commit-planned': failing,
  'commit-failed': failed,

  'commit-cancelling': cancelled,
  'cancel-job': cancelled,
  'commit-cancelled': cancelled,

  'request-cancel': {
    async prepare(stage) {
      const worker = stage.world.start(stage.config, 'worker');
      await exporting(stage);
      worker.signal('SIGTERM');
      await worker.ended;
    },
    command: async ({ until }) => ['cancel', await until('exporting')],
    async afterwards(stage) {
      // An operator whose command was cut off asks again; a worker may have obeyed the first time already.
      const [run] = await stage.world.sql<{ id: string }>(
        'select id from udm_sync.runs where definition = $1',
        [stage.definition],
      );
      expect([0, 2]).toContain((await stage.world.run(stage.config, 'cancel', run?.id ?? '')).code);
      await retried(stage, 'cancelled');
    },
  },
  'request-retry': {
    ...failed,
    async prepare(stage) {
      const worker = stage.world.start(stage.config, 'worker');
      await stage.until('failed');
      worker.signal('SIGTERM');
      await worker.ended;
    },
    command: async ({ until }) => ['retry', await until('failed')],
    async afterwards({ world, config, definition }) {
      const [run] = await world.sql<{ id: string }>('select id from udm_sync.runs where definition = $1', [
        definition,
      ]);
      expect([0, 2]).toContain((await world.run(config, 'retry', run?.id ?? '')).code);
    },
  },

  // A step that fails while its worker is about to stop.
  'give-back': {
    env: { UDM_SYNC_WORKER__SHUTDOWN_GRACE: '30s' },
    stops: true,
    faults: [
      { endpoint: 'GET /v10/export/history', kind: 'delay', ms: 1_500, nth: 1 },
      { endpoint: 'GET /v10/export/history', kind: 'status', status: 403, nth: 1 },
    ],
    async steer({ world }, armed) {
      await vi.waitFor(
        async () => {
          if (fired.parse(await world.upstream.ask('faults'))[0]?.fired !== 1) throw new Error('Not asked.');
        },
        { timeout: 60_000, interval: 20 },
      );
      armed.signal('SIGTERM');
    },
  },
  // A step of a run that was cancelled before anybody looked at it.
  'drop-step': {
    async prepare(stage) {
      await diedAt(stage, 'after:plan');
      expect((await stage.world.run(stage.config, 'cancel', await stage.until('planned'))).code).toBe(0);
    },
    afterwards: (stage) => retried(stage, 'cancelled'),
  },
  'note-look': adopting,
  'adopt-entries': adopting,
  'note-look-failed': {
    ...adopting,
    faults: [{ endpoint: 'GET /v10/export/history', kind: 'status', status: 403, nth: 1 }],
  },
  // A file that is not safe yet when its time upstream is nearly over.
  'note-expiry': {
    async prepare(stage) {
      await diedAt(stage, 'after:commit-transferring');
      await stage.world.sql(
        `update udm_sync.files set expires_at = now() + interval '1 hour' where state = 'waiting'`,
      );
    },
  },
  rescue: {
    async prepare(stage) {
      await diedAt(stage, 'after:plan');
      await stage.world.sql('delete from udm_sync_queue.job');
    },
  },
};
