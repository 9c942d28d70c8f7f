import { runStates } from '../../drizzle/schema.ts';
import type { RunState } from '../../drizzle/schema.ts';
import { UsageError } from '../errors.ts';
import { requestCancel, reviveRun } from '../jobs/revive.ts';
import { printable } from '../printable.ts';
import { latestExport } from '../store/exports.ts';
import { filesOfRun } from '../store/files.ts';
import { historyOfRun } from '../store/history.ts';
import { findRun, listRuns } from '../store/runs.ts';
import { definitionNamed, runIdOf, wholeNumberOf } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';
import { humanBytes, print, printJson, table, utc } from './output.ts';
import { printRuns, runJson, showPlace } from './report.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';
import { inSession } from './session.ts';
import type { Session } from './session.ts';

export interface RunsOptions extends GlobalOptions {
  readonly definition?: string;
  readonly state?: string;
  readonly limit: string;
}

/** `udm-sync runs`: the newest runs, by window. */
export async function runsCommand(options: RunsOptions): Promise<number> {
  const limit = wholeNumberOf('--limit', options.limit, 1, 100_000);
  const states = options.state?.split(',').map(stateNamed);
  const { definition } = options;
  return withDatabase(options, async ({ config, pipeline }) => {
    const found = await listRuns(pipeline.db, { definition, states, limit });
    // Runs outlive their definition, so only a name that neither config nor database knows is a mistake.
    if (found.length === 0 && definition !== undefined) definitionNamed(config, definition);
    if (options.json) printJson(found.map(runJson));
    else if (found.length === 0) print('No runs.');
    else printRuns(found);
  });
}

/** `udm-sync run-history <run>`: everything that happened to one run, and its files. */
export function runHistoryCommand(id: string, options: GlobalOptions): Promise<number> {
  const runId = runIdOf(id);
  return withDatabase(options, async ({ pipeline: { db } }) => {
    const run = await findRun(db, runId);
    if (!run) throw new UsageError(`There is no run ${runId}.`, { hint: 'udm-sync runs lists them.' });
    const [lines, files, last] = await Promise.all([
      historyOfRun(db, runId),
      filesOfRun(db, runId),
      latestExport(db, runId),
    ]);
    if (options.json) {
      printJson({
        ...runJson(run),
        upstream: last
          ? {
              jobId: last.upstreamJobId,
              historyId: last.upstreamHistoryId,
              status: last.statusWord,
              progress: last.progress,
            }
          : null,
        files: files.map((file) => ({
          name: file.name,
          key: file.key,
          state: file.state,
          size: file.size,
          crc32: file.crc32,
          proof: file.proof,
          attempts: file.attempts,
          reason: file.reason,
          expiresAt: file.expiresAt.toISOString(),
          verifiedAt: file.verifiedAt?.toISOString() ?? null,
          deletedAt: file.deletedAt?.toISOString() ?? null,
        })),
        history: lines.map((line) => ({
          at: line.at.toISOString(),
          subject: line.subject,
          file: files.find((file) => file.id === line.fileId)?.name ?? null,
          from: line.fromState,
          to: line.toState,
          who: line.who,
          reason: line.reason,
        })),
      });
      return;
    }
    print(`Run ${run.id}: ${run.definition} ${showPlace(run)}, ${run.state}, attempt ${run.attempt}`);
    if (run.reason !== null) print(printable(run.reason));
    if (run.prunedAt)
      print(
        `Its files and history were pruned at ${utc(run.prunedAt)}` +
          (run.manifestKey === null ? '.' : `; in the sink, ${run.manifestKey} still tells of its files.`),
      );
    if (last)
      print(
        printable(
          `Upstream job ${last.upstreamJobId ?? '-'}, history ${last.upstreamHistoryId ?? '-'}, "${last.statusWord ?? '-'}"`,
        ),
      );
    if (files.length > 0) {
      print();
      print(
        table(
          ['FILE', 'STATE', 'SIZE', 'CRC-32', 'PROOF', 'ATTEMPTS', 'REASON'],
          files.map((file) => [
            file.name,
            file.state,
            humanBytes(file.size ?? file.announcedSize ?? 0),
            file.crc32 ?? '-',
            file.proof ?? '-',
            String(file.attempts),
            file.reason ?? '',
          ]),
        ),
      );
    }
    if (lines.length === 0) return;
    print();
    print(
      table(
        ['AT (UTC)', 'WHAT', 'FROM', 'TO', 'WHO', 'REASON'],
        lines.map((line) => [
          line.at.toISOString(),
          line.subject === 'file'
            ? (files.find((file) => file.id === line.fileId)?.name ?? 'file')
            : line.subject,
          line.fromState ?? '',
          line.toState,
          line.who,
          line.reason ?? '',
        ]),
      ),
    );
  });
}

/** `udm-sync retry <run>`: a failed or cancelled run goes on where it left off. */
export function retryCommand(id: string, options: GlobalOptions): Promise<number> {
  const runId = runIdOf(id);
  return withDatabase(options, async ({ pipeline }) => {
    const state = await reviveRun(pipeline, runId);
    if (options.json) printJson({ run: runId, state });
    else print(`Run ${runId} is ${state} again; a worker (or udm-sync run) takes it from there.`);
  });
}

/** `udm-sync cancel <run>`: also upstream. */
export function cancelCommand(id: string, options: GlobalOptions): Promise<number> {
  const runId = runIdOf(id);
  return withDatabase(options, async ({ pipeline }) => {
    const state = await requestCancel(pipeline, runId);
    if (options.json) printJson({ run: runId, state, cancelRequested: true });
    else if (state === 'cancelled') print(`Run ${runId} is cancelled; no upstream job of it was running.`);
    else
      print(
        `Run ${runId} will be cancelled: a worker (or udm-sync run) cancels the upstream job and waits for its end.`,
      );
  });
}

function stateNamed(word: string): RunState {
  const state = runStates.find((known) => known === word.trim());
  if (!state)
    throw new UsageError(`--state is "${word}"; it must be one or more of: ${runStates.join(', ')}.`);
  return state;
}

async function withDatabase(
  options: GlobalOptions,
  action: (session: Session) => Promise<void>,
): Promise<number> {
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  await inSession(config, logger, { working: false }, action);
  return exitCodes.done;
}
