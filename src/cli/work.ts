import type { DefinitionConfig } from '../config/config.ts';
import type { OpenPipeline } from '../jobs/pipeline.ts';
import { checkSink, checkUpstream } from '../jobs/preflight.ts';
import { startWorker } from '../jobs/worker.ts';
import { startNotifier } from '../notify/notifier.ts';
import { printableLines } from '../printable.ts';
import { finalStates, runsById } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import { exitCodes } from './exit-codes.ts';
import type { ExitCode } from './exit-codes.ts';
import { explain } from './output.ts';
import { pause } from './signals.ts';
import type { Interrupt } from './signals.ts';

export interface WorkOptions {
  readonly timeoutMs?: number | undefined;
  readonly interrupt: Interrupt;
  /** Plans more, given the runs under way; resolves to the ids it adds, and whether it may add more later. */
  readonly feed: (unfinished: readonly Run[]) => Promise<{ ids: readonly number[]; more: boolean }>;
  /** Told how things stand, about once a second. */
  readonly onProgress?: (runs: readonly Run[]) => void;
}

export interface WorkResult {
  readonly runs: readonly Run[];
  readonly exitCode: ExitCode;
}

const lookEveryMs = 500;

/** Works on the queue until every run that `feed` named is final, time is up, or somebody interrupts. */
export async function workUntilDone(pipeline: OpenPipeline, options: WorkOptions): Promise<WorkResult> {
  const { interrupt, timeoutMs } = options;
  const worker = await startWorker(pipeline, { schedules: [] });
  const notifier = startNotifier(pipeline);
  const deadline = timeoutMs === undefined ? Infinity : performance.now() + timeoutMs;
  const ids = new Set<number>();
  let runs: Run[] = [];
  let more = true;
  try {
    while (!interrupt.signal.aborted && performance.now() < deadline) {
      const fed = await options.feed(runs.filter((run) => !finalStates.includes(run.state)));
      for (const id of fed.ids) ids.add(id);
      more = fed.more;
      runs = await runsById(pipeline.db, [...ids]);
      options.onProgress?.(runs);
      if (!more && runs.every((run) => finalStates.includes(run.state))) break;
      await pause(Math.min(lookEveryMs, Math.max(0, deadline - performance.now())), interrupt.signal);
    }
  } finally {
    await worker.stop(pipeline.config.worker.shutdownGraceMs);
    // The next process may come in an hour.
    await notifier.stop({ tellAll: true });
  }
  runs = await runsById(pipeline.db, [...ids]);
  return { runs, exitCode: exitCodeOf(runs, more, interrupt.signal.aborted) };
}

function exitCodeOf(runs: readonly Run[], more: boolean, interrupted: boolean): ExitCode {
  if (interrupted) return exitCodes.interrupted;
  if (more || runs.some((run) => !finalStates.includes(run.state))) return exitCodes.timedOut;
  return runs.every((run) => run.state === 'done') ? exitCodes.done : exitCodes.someWindowsFailed;
}

/**
 * What would make every run wait for an operator is better said before any work is begun: on stderr, all of it.
 *
 * @returns the definitions whose tenant and sink work: those of another are no reason to hold these up
 */
export async function preflight(
  pipeline: OpenPipeline,
  definitions: readonly DefinitionConfig[],
  { signal }: Interrupt,
): Promise<{ readonly able: DefinitionConfig[] }> {
  const check = async (what: string, action: () => Promise<void>): Promise<string | undefined> => {
    try {
      await action();
      return undefined;
    } catch (error) {
      return `${what}: ${explain(error)}`;
    }
  };
  const each = async (names: Iterable<string>, ask: (name: string) => Promise<string | undefined>) =>
    new Map(await Promise.all([...new Set(names)].map(async (name) => [name, await ask(name)] as const)));
  const [tenants, sinks] = await Promise.all([
    each(
      definitions.map((definition) => definition.tenant),
      (name) => check(`tenant ${name}`, () => checkUpstream(pipeline.upstream(name), signal)),
    ),
    each(
      definitions.map((definition) => definition.sink),
      (name) => check(`sink ${name}`, () => checkSink(pipeline.sink(name).sink, signal)),
    ),
  ]);
  if (!signal.aborted)
    for (const problem of [...tenants.values(), ...sinks.values()])
      if (problem !== undefined) process.stderr.write(`udm-sync: ${printableLines(problem)}\n`);
  const able = definitions.filter(
    ({ tenant, sink }) => tenants.get(tenant) === undefined && sinks.get(sink) === undefined,
  );
  return { able };
}
