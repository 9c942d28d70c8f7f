import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import { fileStates, runStates } from '../../drizzle/schema.ts';
import type { DefinitionConfig } from '../config/config.ts';
import { expectedLagMs } from './expected-lag.ts';
import type { StateReading, TotalsReading, UnsafeFiles } from '../store/metrics.ts';

/** Gauges that show a reading of the database, or nothing when there is none. */
export interface ReadingGauges<Reading> {
  show(reading: Reading | undefined): void;
}

function gaugeMaker(registry: Registry, all: Gauge[]) {
  return <T extends string>(name: string, help: string, labelNames: readonly T[]) => {
    const gauge = new Gauge({
      name: `udm_sync_${name}`,
      help,
      labelNames: [...labelNames],
      registers: [registry],
    });
    all.push(gauge);
    return gauge;
  };
}

const unsafeStates = ['waiting', 'transferring', 'dead', 'lost'] as const;
const queues = ['step', 'transfer', 'transfer-small'] as const;
const jobStates = ['ready', 'deferred', 'active'] as const;

/** How things stand now, by what `readState` reads. */
export function stateGauges(
  registry: Registry,
  definitions: readonly DefinitionConfig[],
): ReadingGauges<StateReading> {
  const all: Gauge[] = [];
  const gauge = gaugeMaker(registry, all);
  const lastSuccess = gauge('last_success_timestamp_seconds', 'When a window was last done.', ['definition']);
  const lastSuccessAge = gauge('last_success_age_seconds', 'Time since a window was last done.', [
    'definition',
  ]);
  const windowLag = gauge(
    'window_lag_seconds',
    'Time since the end of the last window up to which all are done.',
    ['definition'],
  );
  const struggling = gauge('struggling_runs', 'Unfinished runs whose last step failed.', ['definition']);
  const unsafe = gauge('unsafe_files', 'Files that are not in the sink, of runs that need them.', [
    'definition',
    'state',
  ]);
  const headroom = gauge(
    'expiry_headroom_seconds',
    'Time until the vendor deletes the first file that can still be copied.',
    ['definition'],
  );
  const expiring = gauge(
    'expiring_files',
    'Files that can still be copied, by days until the vendor deletes them.',
    ['definition', 'days_left'],
  );
  const queueJobs = gauge('queue_jobs', 'Jobs in the queue: due and not taken, due later, being worked on.', [
    'queue',
    'state',
  ]);
  const queueOldest = gauge('queue_oldest_seconds', 'How long the job that is due longest has waited.', [
    'queue',
  ]);
  const liveExports = gauge('live_exports', 'Upstream jobs of ours that are, or may be, alive.', ['tenant']);
  const uploads = gauge('unfinished_uploads', 'Uploads in parts that are noted and not complete.', ['sink']);
  const expectedLag = gauge(
    'expected_lag_seconds',
    'The most that the window lag of a scheduled definition comes to while it keeps up.',
    ['definition'],
  );
  const expected = definitions.flatMap((definition) => {
    const ms = expectedLagMs(definition);
    return ms === undefined ? [] : [{ definition: definition.name, seconds: ms / 1000 }];
  });

  return {
    show(reading) {
      for (const known of all) known.reset();
      for (const { definition, seconds } of expected) expectedLag.set({ definition }, seconds);
      if (!reading) return;
      for (const row of reading.progress) {
        const { definition } = row;
        if (row.lastSuccess !== null) lastSuccess.set({ definition }, row.lastSuccess);
        if (row.lastSuccessAge !== null) lastSuccessAge.set({ definition }, row.lastSuccessAge);
        if (row.windowLag !== null) windowLag.set({ definition }, row.windowLag);
        struggling.set({ definition }, row.struggling);
        // A series that is there at zero can be told from one that nobody measures.
        for (const state of unsafeStates) unsafe.set({ definition, state }, 0);
        for (const days_left of dayBuckets) expiring.set({ definition, days_left }, 0);
      }
      for (const row of reading.unsafe) unsafe.set({ definition: row.definition, state: row.state }, row.n);
      for (const [definition, rows] of byDefinition(reading.unsafe.filter(({ state }) => state !== 'lost'))) {
        headroom.set({ definition }, Math.min(...rows.map((row) => row.headroom ?? Infinity)));
        for (const [days_left, n] of byDaysLeft(rows)) expiring.set({ definition, days_left }, n);
      }
      for (const queue of queues) {
        for (const state of jobStates) queueJobs.set({ queue, state }, 0);
        queueOldest.set({ queue }, 0);
      }
      for (const { queue, state, n, oldest } of reading.queue) {
        queueJobs.set({ queue, state }, n);
        if (state === 'ready') queueOldest.set({ queue }, Math.max(0, oldest ?? 0));
      }
      for (const { name: tenant, n } of reading.liveExports) liveExports.set({ tenant }, n);
      for (const { name: sink, n } of reading.uploads) uploads.set({ sink }, n);
    },
  };
}

const dayBuckets = ['0-1', '1-3', '3-10', '10-20', '20+'] as const;

function byDaysLeft(rows: readonly UnsafeFiles[]): [string, number][] {
  const sum = (pick: (row: UnsafeFiles) => number) => rows.reduce((total, row) => total + pick(row), 0);
  const counts = [
    sum((row) => row.under1),
    sum((row) => row.under3),
    sum((row) => row.under10),
    sum((row) => row.under20),
  ];
  const rest = sum((row) => row.n) - counts.reduce((total, n) => total + n, 0);
  return dayBuckets.map((days, at) => [days, counts[at] ?? rest]);
}

function byDefinition(rows: readonly UnsafeFiles[]): Map<string, UnsafeFiles[]> {
  return Map.groupBy(rows, ({ definition }) => definition);
}

/** Counts of everything there is, by what `readTotals` reads. */
export function totalsGauges(
  registry: Registry,
  definitions: readonly DefinitionConfig[],
): ReadingGauges<TotalsReading> {
  const all: Gauge[] = [];
  const gauge = gaugeMaker(registry, all);
  const runs = gauge('runs', 'Runs, by state.', ['definition', 'state']);
  const files = gauge('files', 'Files of all runs, by state.', ['state']);
  return {
    show(reading) {
      for (const known of all) known.reset();
      if (!reading) return;
      for (const { name: definition } of definitions)
        for (const state of runStates) runs.set({ definition, state }, 0);
      for (const state of fileStates) files.set({ state }, 0);
      for (const { definition, state, n } of reading.runs) runs.set({ definition, state }, n);
      for (const { state, n } of reading.files) files.set({ state }, n);
    },
  };
}
