import type { FaultRule, FileSpec, JobView } from '../../simulator/server.ts';
import type { Border } from '../faults/arena.ts';
import { randomOf } from '../faults/random.ts';
import type { Random } from '../faults/random.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const minute = 60_000;

/** A definition of a scenario, and what its jobs make. */
export interface Plan {
  readonly name: string;
  readonly how: 'schedule' | 'backfill';
  readonly windowMs: number;
  readonly windows: number;
  readonly delete: 'files' | 'files-and-job' | 'nothing';
  readonly split: boolean;
  /** Whether a new job of the same window makes other names. */
  readonly namesByJob: boolean;
}

/** What happens to the world, so many ms after the first worker is running. */
export type Action = { readonly atMs: number } & (
  | { readonly kind: 'upstream-fault'; readonly fault: FaultRule }
  | {
      readonly kind: 'network';
      readonly border: Border;
      readonly harm: 'rst' | 'fin' | 'freeze' | 'blackhole' | 'refuse' | 'slow' | 'mischief';
      readonly forMs: number;
    }
  /** The next so many requests to S3. */
  | {
      readonly kind: 's3';
      readonly harm: 'slow-down' | 'error' | 'lose-answer' | 'break';
      readonly requests: number;
    }
  /** `stop` is SIGSTOP and, so many ms later, SIGCONT; after the others a new worker starts then. */
  | {
      readonly kind: 'process';
      readonly harm: 'kill' | 'term' | 'stop';
      readonly worker: number;
      readonly forMs: number;
    }
  /** `pick`, in [0, 1), chooses among the runs that fit then. */
  | { readonly kind: 'operator'; readonly command: 'cancel' | 'retry'; readonly pick: number }
  /** The upstream's clock jumps so far that the vendor deletes every file there is. */
  | { readonly kind: 'expiry' }
);

export interface Scenario {
  readonly seed: string;
  readonly sink: 'bucket' | 'folder';
  readonly workers: number;
  /** How long an export takes, real ms. */
  readonly exportMs: number;
  readonly plans: readonly Plan[];
  /** In order of time. */
  readonly actions: readonly Action[];
}

/** How long things go wrong, ms; after that everything is mended. */
export const troubleMs = 8_000;

/** Builds a scenario: the same seed, the same scenario. */
export function generate(seed: string): Scenario {
  const random = randomOf(seed, 'scenario');
  const workers = random.whole(1, 3);
  const exportMs = random.whole(200, 2_500);
  const plans = Array.from({ length: random.whole(1, 2) }, (_, index) =>
    planOf(random, `plan${index}`, 'schedule'),
  );
  if (random.chance(0.3)) plans.push(planOf(random, 'archive', 'backfill'));
  const actions: Action[] = [];
  const add = (least: number, most: number, make: () => Action) => {
    for (let left = random.whole(least, most); left > 0; left -= 1) actions.push(make());
  };
  const atMs = () => random.whole(0, troubleMs);
  add(1, 8, () => ({ kind: 'upstream-fault', atMs: 0, fault: faultOf(random) }));
  add(1, 8, () => networkOf(random, atMs()));
  add(0, 3, () => ({
    kind: 's3',
    atMs: atMs(),
    harm: random.pick(['slow-down', 'error', 'lose-answer', 'break']),
    requests: random.whole(1, 12),
  }));
  add(0, 4, () => processOf(random, atMs(), workers));
  add(0, 3, () => ({
    kind: 'operator',
    atMs: atMs(),
    command: random.pick(['cancel', 'cancel', 'retry']),
    pick: random.next(),
  }));
  if (random.chance(0.15)) actions.push({ kind: 'expiry', atMs: atMs() });
  actions.sort((a, b) => a.atMs - b.atMs);
  return { seed, sink: random.chance(0.3) ? 'folder' : 'bucket', workers, exportMs, plans, actions };
}

function planOf(random: Random, name: string, how: Plan['how']): Plan {
  return {
    name,
    how,
    windowMs: random.pick([15 * minute, 60 * minute, 1440 * minute]),
    windows: random.whole(2, 8),
    delete: random.pick(['files', 'files', 'files-and-job', 'nothing']),
    split: random.chance(0.4),
    namesByJob: random.chance(0.5),
  };
}

/** The files a job makes, by the seed. Sizes go from nothing to a little more than two parts of 5 MiB. */
export function filesOf(scenario: Scenario, definition: string, from: Date, job: JobView): FileSpec[] {
  const plan = scenario.plans.find(({ name }) => name === definition);
  const random = randomOf(scenario.seed, 'files', definition, from.getTime());
  const size = () =>
    random.pick([
      random.whole(1, 900),
      random.whole(1, 300 * KiB),
      random.whole(1, 300 * KiB),
      random.whole(1, 3 * MiB),
      random.pick([0, 1, 5 * MiB - 1, 5 * MiB, 5 * MiB + 1, 11 * MiB]),
    ]);
  const at = from.toISOString().replaceAll(/[:.]/g, '');
  const stem = `${definition}-${at}${plan?.namesByJob ? `-${job.id.slice(0, 8)}` : ''}`;
  const count = random.pick([0, 1, 1, 2, 3]);
  return Array.from({ length: count }, (_, index) => ({
    name:
      plan?.split && count > 1
        ? `${stem}-part-000${index + 1}-of-000${count}.zip.smime`
        : `${stem} ${index}.smime`,
    size: size(),
  }));
}

const api = {
  create: 'POST /v10/export/jobs',
  history: 'GET /v10/export/history',
  metadata: 'GET /v10/file-metadatas',
  locate: 'GET /v10/files/{filename}',
  origin: 'GET /s3/{filename}',
  remove: 'DELETE /v10/files',
} as const;

/** Faults of the simulator. Whatever a retry by the program or by the operator at the end gets over. */
function faultOf(random: Random): FaultRule {
  const when = { nth: random.whole(1, 8), times: random.whole(1, 3) };
  const any = random.pick([api.create, api.history, api.metadata, api.locate, api.remove]);
  const some: (() => FaultRule)[] = [
    () => ({ ...when, endpoint: any, kind: 'status', status: random.pick([500, 502, 503, 504]) }),
    () => ({ ...when, endpoint: any, kind: 'status', status: 429, headers: { 'retry-after': '1' } }),
    () => ({ ...when, endpoint: any, kind: 'html' }),
    () => ({ ...when, endpoint: any, kind: 'reset' }),
    () => ({ ...when, endpoint: any, kind: 'lost-answer' }),
    () => ({ ...when, endpoint: any, kind: 'token-revoked' }),
    () => ({ ...when, endpoint: any, kind: 'delay', ms: random.whole(1, 2_500) }),
    () => ({ ...when, endpoint: random.pick([api.history, api.metadata, api.create]), kind: 'wrong-json' }),
    () => ({ ...when, endpoint: api.metadata, kind: 'duplicate-page' }),
    () => ({ ...when, endpoint: api.remove, kind: 'partial-delete' }),
    () => ({ ...when, endpoint: api.locate, kind: 'expired-url' }),
    () => ({
      ...when,
      endpoint: api.origin,
      kind: random.pick([
        'reset-mid-body',
        'truncate',
        'truncate-chunked',
        'ignore-range',
        'no-length',
        'no-etag',
      ]),
    }),
    () => ({
      nth: random.whole(1, 4),
      endpoint: api.create,
      kind: random.pick(['job-fails', 'job-cancelled', 'job-vanishes']),
    }),
  ];
  return (some[random.whole(0, some.length - 1)] ?? some[0])?.() ?? { endpoint: any, kind: 'html', times: 1 };
}

function networkOf(random: Random, atMs: number): Action {
  return {
    kind: 'network',
    atMs,
    border: random.pick(['postgres', 'postgres', 's3', 'api', 'origin']),
    harm: random.pick(['rst', 'fin', 'freeze', 'blackhole', 'refuse', 'slow', 'mischief']),
    forMs: random.whole(200, 4_000),
  };
}

function processOf(random: Random, atMs: number, workers: number): Action {
  const harm = random.pick(['kill', 'kill', 'term', 'stop']);
  // Longer than a worker may be silent, now and then.
  const forMs = harm === 'stop' && random.chance(0.4) ? random.whole(10_500, 13_000) : random.whole(0, 3_000);
  return { kind: 'process', atMs, harm, worker: random.whole(0, workers - 1), forMs };
}
