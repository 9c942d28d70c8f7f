import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { afterEach, expect } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/config.ts';
import { adopts } from '../../src/jobs/adopt.ts';
import { openPipeline } from '../../src/jobs/pipeline.ts';
import type { OpenPipeline } from '../../src/jobs/pipeline.ts';
import { planWindow } from '../../src/jobs/plan.ts';
import { startWorker } from '../../src/jobs/worker.ts';
import { createLogger } from '../../src/log.ts';
import type { Logger } from '../../src/log.ts';
import { latestExport } from '../../src/store/exports.ts';
import { filesOfRun } from '../../src/store/files.ts';
import { historyOfRun } from '../../src/store/history.ts';
import { findRun } from '../../src/store/runs.ts';
import type { Run, RunState } from '../../src/store/runs.ts';
import { startSimulator } from '../../simulator/server.ts';
import type { Simulator } from '../../simulator/server.ts';
import type { SimulatorOptions } from '../../simulator/options.ts';
import { createTestDatabase } from '../support/postgres.ts';

/** Exports that take a minute upstream take 200 ms here. */
const speed = 300;

export interface HarnessOptions {
  readonly simulator?: SimulatorOptions;
  /** Settings of the one definition, over the defaults. */
  readonly definition?: Record<string, unknown>;
  /** Definitions instead of that one; each has the defaults but for its windows. */
  readonly definitions?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly tenantLimits?: Record<string, number>;
  readonly worker?: Record<string, unknown>;
  /** The sink, instead of a folder. */
  readonly sink?: Record<string, unknown>;
}

/** A simulated tenant, a database of its own and a folder as sink, with as many workers as a test starts. */
export class Harness {
  readonly simulator: Simulator;
  readonly config: Config;
  readonly url: string;
  readonly folder: string;
  readonly #cleanup: (() => Promise<void>)[];

  private constructor(
    simulator: Simulator,
    config: Config,
    url: string,
    folder: string,
    cleanup: (() => Promise<void>)[],
  ) {
    this.simulator = simulator;
    this.config = config;
    this.url = url;
    this.folder = folder;
    this.#cleanup = cleanup;
  }

  static async start(options: HarnessOptions = {}): Promise<Harness> {
    const folder = await mkdtemp(join(tmpdir(), 'udm-sync-jobs-'));
    const simulator = await startSimulator({ speed, fileSize: [1000, 50_000], ...options.simulator });
    const database = await createTestDatabase();
    const common = {
      tenant: 'demo',
      sink: 'disk',
      source: 'UCSX',
      type: 'contacts',
      retry: { attempts: 3, minDelay: '50ms', maxDelay: '200ms' },
    };
    const definitions: Readonly<Record<string, Readonly<Record<string, unknown>>>> = options.definitions ?? {
      contacts: { windows: { length: '1h' }, ...options.definition },
    };
    const text = stringify({
      database: { url: database.url },
      tenants: {
        demo: {
          baseUrl: simulator.baseUrl,
          apiKey: 'demo-api-key',
          auth: { grant: 'client_credentials', clientId: 'demo-client', clientSecret: 'demo-client-secret' },
          limits: { requestsPerSecond: 500, exports: 10, transfers: 10, ...options.tenantLimits },
          requestTimeout: '1s',
        },
      },
      sinks: { disk: options.sink ?? { type: 'filesystem', directory: folder } },
      definitions: Object.fromEntries(
        Object.entries(definitions).map(([name, each]) => [name, { ...common, ...each }]),
      ),
      worker: {
        poll: { min: '50ms', max: '200ms' },
        createSettle: '300ms',
        collectSettle: '100ms',
        ...options.worker,
      },
      log: { level: process.env['UDM_SYNC_TEST_LOG'] ?? 'silent' },
    });
    const config = await loadConfig({ text, env: {} });
    const cleanup = [
      () => simulator.close(),
      () => database.drop(),
      () => rm(folder, { recursive: true, force: true }),
    ];
    return new Harness(simulator, config, database.url, folder, cleanup);
  }

  /** A pipeline that plans and inspects, but claims no work. */
  async pipeline(): Promise<OpenPipeline> {
    const pipeline = await this.#open(false, new AbortController().signal);
    this.#cleanup.unshift(async () => {
      await pipeline.queue.stop(0);
      await pipeline.close();
    });
    return pipeline;
  }

  /** Starts a worker, which also looks for entries to adopt; `stop` drains it. */
  async worker(
    config: Config = this.config,
    logger?: Logger,
  ): Promise<{ pipeline: OpenPipeline; stop(): Promise<void> }> {
    const draining = new AbortController();
    const pipeline = await this.#open(true, draining.signal, config, logger);
    const schedules = Object.values(config.definitions).filter(adopts);
    const worker = await startWorker(pipeline, { schedules, tickMs: 500 });
    let stopped: Promise<void> | undefined;
    const stop = () =>
      (stopped ??= (async () => {
        draining.abort();
        await worker.stop(5000);
        await pipeline.close();
      })());
    this.#cleanup.unshift(stop);
    return { pipeline, stop };
  }

  #open(
    working: boolean,
    draining: AbortSignal,
    config = this.config,
    logger: Logger = createLogger(config.log.level, config.log.format, 2),
  ): Promise<OpenPipeline> {
    return openPipeline({ config, url: this.url, logger, draining, working });
  }

  /** Plans one hour of a definition, so many hours after 2026-01-01T00:00Z. */
  async planHour(pipeline: OpenPipeline, hour = 0, name = 'contacts'): Promise<Run> {
    const definition = pipeline.config.definitions[name];
    if (!definition) throw new Error(`the harness has no definition ${name}`);
    const from = new Date(Date.UTC(2026, 0, 1, hour));
    const [run] = await planWindow(pipeline, definition, { from, to: new Date(from.getTime() + 3_600_000) });
    if (!run) throw new Error('the window was planned before');
    return run;
  }

  /** The run once it is in one of these states. */
  async until(pipeline: OpenPipeline, runId: number, ...states: RunState[]): Promise<Run> {
    let run: Run | undefined;
    await expect
      .poll(
        async () => {
          run = await findRun(pipeline.db, runId);
          return run && states.includes(run.state)
            ? 'there'
            : `${run?.state ?? 'gone'}: ${run?.reason ?? ''}`;
        },
        { timeout: 30_000, interval: 50 },
      )
      .toBe('there');
    if (!run) throw new Error('unreachable');
    return run;
  }

  /** Requests of the upstream's log as `METHOD path`, without what lists and polls would add. */
  requests(pattern: RegExp): string[] {
    return this.simulator.requests
      .map(({ method, path }) => `${method} ${decodeURIComponent(path)}`)
      .filter((line) => pattern.test(line));
  }

  /** Jobs of ours that are, or ever were, upstream. */
  jobs() {
    return this.simulator.state().jobs;
  }

  async story(pipeline: OpenPipeline, runId: number) {
    const [lines, files, last] = await Promise.all([
      historyOfRun(pipeline.db, runId),
      filesOfRun(pipeline.db, runId),
      latestExport(pipeline.db, runId),
    ]);
    return { lines, files, last };
  }

  async stop(): Promise<void> {
    for (const step of this.#cleanup) await step();
  }
}

/** Stops the harness of each test of a file after it, and begins the next: one worker is running. */
export function harnessForEachTest() {
  let harness: Harness | undefined;
  afterEach(async () => {
    await harness?.stop();
    harness = undefined;
  });
  return {
    /** The harness alone. */
    start: async (options?: HarnessOptions): Promise<Harness> => {
      harness = await Harness.start(options);
      return harness;
    },
    begin: async (options?: HarnessOptions) => {
      harness = await Harness.start(options);
      const worker = await harness.worker();
      return { harness, simulator: harness.simulator, pipeline: worker.pipeline, worker };
    },
  };
}
