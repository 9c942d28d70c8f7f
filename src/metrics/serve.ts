import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import { describeError } from '../errors.ts';
import type { Pipeline } from '../jobs/context.ts';
import { openMetricsReader } from '../store/metrics.ts';
import { cached } from './cached.ts';
import type { Cached } from './cached.ts';
import { startServer } from './http-server.ts';
import type { MetricsServer, Route } from './http-server.ts';
import { createProbes } from './probes.ts';
import type { ProbeAnswer } from './probes.ts';
import { watchProcess } from './process-metrics.ts';
import type { Pulse } from './pulse.ts';
import { stateGauges, totalsGauges } from './state-metrics.ts';
import type { ReadingGauges } from './state-metrics.ts';

export interface ServeOptions {
  /** Postgres. */
  readonly url: string;
  readonly version: string;
  /** Beaten by the worker's loop. */
  readonly pulse: Pulse;
}

/** A scrape waits no longer than this for Postgres; Prometheus itself gives up after ten seconds. */
const patienceMs = 3_000;
const times = {
  state: { freshMs: 5_000, patienceMs },
  // Counts of all rows take long when there are millions, and change little meanwhile.
  totals: { freshMs: 30_000, patienceMs, staleMs: 600_000 },
};

/**
 * Serves `/metrics`, `/healthz` and `/readyz` of a worker until closed.
 *
 * @throws UdmSyncError `ERR_METRICS_LISTEN`
 */
export async function serveMetrics(pipeline: Pipeline, options: ServeOptions): Promise<MetricsServer> {
  const { config, logger } = pipeline;
  const { url, version, pulse } = options;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  watchProcess(registry, pipeline);
  describeProcess(registry, version, pulse);
  const scrapeErrors = new Counter({
    name: 'udm_sync_scrape_errors_total',
    help: 'Scrapes for which Postgres did not answer in time.',
    labelNames: ['group'],
    registers: [registry],
  });
  const definitions = Object.values(config.definitions);
  const reader = openMetricsReader(url);
  const names = definitions.map(({ name }) => name);
  const readState = cached(() => reader.readState(names), times.state);
  const readTotals = cached(() => reader.readTotals(), times.totals);
  const state = stateGauges(registry, definitions);
  const totals = totalsGauges(registry, definitions);
  const show = <T>(group: 'state' | 'totals', gauges: ReadingGauges<T>, { value, error }: Cached<T>) => {
    gauges.show(value);
    scrapeErrors.inc({ group }, error === undefined ? 0 : 1);
    if (error !== undefined)
      logger.debug({ group, reason: describeError(error) }, 'Postgres did not answer a scrape');
  };

  const probes = createProbes(pipeline, url, pulse);
  const probe =
    (ask: () => ProbeAnswer | Promise<ProbeAnswer>): Route =>
    async () => {
      const answer = await ask();
      return {
        status: answer.ok ? 200 : 503,
        type: 'application/json',
        body: `${JSON.stringify(answer)}\n`,
      };
    };
  try {
    const server = await startServer(
      config.metrics,
      {
        '/metrics': async () => {
          const [stateNow, totalsNow] = await Promise.all([readState(), readTotals()]);
          show('state', state, stateNow);
          show('totals', totals, totalsNow);
          return { status: 200, type: registry.contentType, body: await registry.metrics() };
        },
        '/healthz': probe(() => probes.health()),
        '/readyz': probe(() => probes.ready()),
      },
      logger,
    );
    return {
      async close() {
        await server.close();
        await reader.close();
      },
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

function describeProcess(registry: Registry, version: string, pulse: Pulse): void {
  const registers = [registry];
  new Gauge({
    name: 'udm_sync_build_info',
    help: 'Always 1; the version is a label.',
    labelNames: ['version'],
    registers,
  }).set({ version }, 1);
  new Gauge({
    name: 'udm_sync_heartbeat_timestamp_seconds',
    help: 'When the loop of this worker last turned.',
    registers,
    collect() {
      this.set(pulse.lastBeat / 1000);
    },
  });
}
