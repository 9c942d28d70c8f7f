import { UdmSyncError } from '../errors.ts';
import { sweepSink } from '../jobs/sweep.ts';
import type { SinkSweep } from '../jobs/sweep.ts';
import type { SweepResult } from '../sinks/sink.ts';
import { durationOf, sinkNamed } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';
import { counted, explain, humanBytes, humanDuration, print, printJson, table } from './output.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';
import { inSession } from './session.ts';
import { onInterrupt } from './signals.ts';

export interface SweepOptions extends GlobalOptions {
  readonly olderThan: string;
  readonly dryRun?: boolean;
}

/** What became of one sink. */
interface Outcome {
  readonly sink: string;
  readonly uri: string;
  readonly swept?: SinkSweep;
  readonly error?: unknown;
}

/** `udm-sync sweep [sink…]`: aborts uploads that nobody will continue. */
export async function sweepCommand(names: readonly string[], options: SweepOptions): Promise<number> {
  const olderThanMs = durationOf('--older-than', options.olderThan);
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const wanted = names.length > 0 ? [...new Set(names)] : Object.keys(config.sinks);
  for (const name of wanted) sinkNamed(config, name);
  const dryRun = options.dryRun === true;
  const interrupt = onInterrupt();
  const { signal } = interrupt;
  try {
    const outcomes = await inSession(config, logger, { working: false }, async ({ pipeline }) => {
      const found: Outcome[] = [];
      for (const sink of wanted) {
        const { uri } = pipeline.sink(sink).sink;
        try {
          found.push({
            sink,
            uri,
            swept: await sweepSink(pipeline, sink, { olderThanMs, dryRun, signal }),
          });
        } catch (error) {
          if (signal.aborted) break;
          // Postgres being away is no matter of this sink.
          if (!(error instanceof UdmSyncError)) throw error;
          found.push({ sink, uri, error });
        }
      }
      return found;
    });
    if (options.json) printJson(report(outcomes, olderThanMs, dryRun));
    else show(outcomes, olderThanMs, dryRun);
    if (signal.aborted) return exitCodes.interrupted;
    return outcomes.some(({ error }) => error !== undefined) ? exitCodes.failed : exitCodes.done;
  } finally {
    interrupt.dispose();
  }
}

const none: SweepResult = { aborted: 0, bytes: 0 };

function total(outcomes: readonly Outcome[]): SweepResult {
  const all = outcomes.flatMap(({ swept }) => (swept ? [swept.settled, swept.leaked] : []));
  return all.reduce(
    (sum, { aborted, bytes }) => ({ aborted: sum.aborted + aborted, bytes: sum.bytes + bytes }),
    none,
  );
}

/** The stable contract of `sweep --json` (docs/cli.md). */
function report(outcomes: readonly Outcome[], olderThanMs: number, dryRun: boolean): Record<string, unknown> {
  const of = ({ aborted: uploads, bytes }: SweepResult) => ({ uploads, bytes });
  return {
    dryRun,
    olderThanSeconds: olderThanMs / 1000,
    ...of(total(outcomes)),
    sinks: outcomes.map(({ sink, uri, swept, error }) => ({
      sink,
      uri,
      settled: swept ? of(swept.settled) : null,
      leaked: swept ? of(swept.leaked) : null,
      error: error === undefined ? null : explain(error),
    })),
  };
}

function show(outcomes: readonly Outcome[], olderThanMs: number, dryRun: boolean): void {
  const cell = ({ aborted, bytes }: SweepResult) => `${aborted} (${humanBytes(bytes)})`;
  const swept = outcomes.flatMap(({ sink, uri, swept: done }) =>
    done ? [[sink, uri, cell(done.settled), cell(done.leaked)]] : [],
  );
  if (swept.length > 0) {
    const old = `LEAKED, OLDER THAN ${humanDuration(olderThanMs)}`;
    print(table(['SINK', 'WHERE', 'SETTLED', old], swept));
    print();
  }
  const { aborted, bytes } = total(outcomes);
  print(
    `${dryRun ? 'Would abort' : 'Aborted'} ${counted(aborted, 'unfinished upload')}, ${humanBytes(bytes)}.`,
  );
  for (const { sink, error } of outcomes)
    if (error !== undefined) process.stderr.write(`udm-sync: sink ${sink}: ${explain(error)}\n`);
}
