/**
 * Planning and status over a long history: fills a Postgres of its own with 1,000,000 files, learns every statement
 * that workers, `status`, `runs` and `run-history` send by letting them send it, explains and times each, and measures
 * what a file takes. Exits with 1 when a statement takes 20 ms or reads a growing table from end to end.
 *
 *   npx node bench/history.ts [--files 1000000] [--times 20] [--write]
 *
 * `--write` puts the tables into docs/database.md. Needs about 3 GB of disk, and six minutes.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { openPipeline } from '../src/jobs/pipeline.ts';
import type { OpenPipeline } from '../src/jobs/pipeline.ts';
import { prune, shortestKeepMs } from '../src/jobs/prune.ts';
import { createLogger } from '../src/log.ts';
import { migrateDatabase } from '../src/store/migrate.ts';
import { startTestServer } from '../test/support/postgres-server.ts';
import { benchConfig } from './history/bench-config.ts';
import { fillHistory } from './history/fill.ts';
import { allQuestions } from './history/loop.ts';
import { measure, statementsOfAll } from './history/measure.ts';
import { growthText, limitMs, misses, queriesTable, sizesTable, writeBetween } from './history/report.ts';
import type { PruneSpeed } from './history/report.ts';
import { growthOf, tableSizes } from './history/sizes.ts';

const counts = { definitions: 20, tenants: 2 };
const filesPerRun = 10;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      files: { type: 'string', default: '1000000' },
      times: { type: 'string', default: '20' },
      write: { type: 'boolean', default: false },
    },
  });
  const [files, times] = [
    wholeNumber('--files', values.files, 10_000),
    wholeNumber('--times', values.times, 1),
  ];
  const server = await startTestServer();
  try {
    say(`Postgres: ${server.description}`);
    await migrateDatabase(server.url);
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      return await bench(server.url, client, files, times, values.write);
    } finally {
      await client.end();
    }
  } finally {
    await server.stop();
  }
}

async function bench(
  url: string,
  client: pg.Client,
  files: number,
  times: number,
  write: boolean,
): Promise<number> {
  // The queues are made when a pipeline opens, and their jobs refer to them.
  await withPipeline(url, undefined, () => Promise.resolve());
  const begun = performance.now();
  const runs = Math.ceil(files / filesPerRun);
  await fillHistory(client, {
    ...counts,
    runs,
    filesPerRun,
    queueJobs: 10_000,
    largeExport: 500,
    lived: true,
  });
  say(
    `Filled with ${files.toLocaleString('en')} files in ${((performance.now() - begun) / 1000).toFixed(0)} s.`,
  );

  const sizes = await tableSizes(client);
  const growth = await growthOf(client, sizes);
  const { rows } = await client.query<{ first: Date }>('select min(window_from) as first from udm_sync.runs');
  return withPipeline(url, rows[0]?.first, async (pipeline) => {
    const asked = await statementsOfAll(await allQuestions(pipeline, url));
    const measured = await measure(client, asked, times);
    const pruned = await timePrune(pipeline);
    const [queries, tables, sentences] = [
      queriesTable(measured),
      sizesTable(sizes),
      growthText(growth, pruned),
    ];
    say(`\n${queries}\n\n${tables}\n\n${sentences}\n`);
    if (write)
      await writeBetween(join(import.meta.dirname, '../docs/database.md'), {
        queries,
        sizes: tables,
        growth: sentences,
      });
    const wrong = misses(measured);
    for (const line of wrong) say(`MISSED: ${line}`);
    if (wrong.length === 0)
      say(
        `Every one of ${measured.length} statements is below ${limitMs} ms, and none reads a growing table from end to end.`,
      );
    return wrong.length === 0 ? 0 : 1;
  });
}

async function withPipeline<T>(
  url: string,
  start: Date | undefined,
  action: (pipeline: OpenPipeline) => Promise<T>,
): Promise<T> {
  const config = await benchConfig(url, counts, start);
  const logger = createLogger('silent');
  const draining = new AbortController().signal;
  const pipeline = await openPipeline({ config, url, logger, draining, working: false });
  try {
    return await action(pipeline);
  } finally {
    await pipeline.close();
  }
}

async function timePrune(pipeline: OpenPipeline): Promise<PruneSpeed> {
  const begun = performance.now();
  const { runs, files, lines } = await prune(
    pipeline,
    shortestKeepMs(pipeline.config),
    new AbortController().signal,
  );
  return { runs, rows: files + lines, seconds: (performance.now() - begun) / 1000 };
}

function wholeNumber(flag: string, text: string, least: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= least) return value;
  throw new Error(`${flag} is "${text}"; it must be a whole number of at least ${least}.`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
