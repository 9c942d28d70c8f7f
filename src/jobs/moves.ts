import type { FileState, RunState } from '../../drizzle/schema.ts';
import type { Logger } from '../log.ts';
import type { Run } from '../store/runs.ts';
import { logFields } from './settle.ts';

/** Where files or a run went, and why; docs/logs.md has the fields. */
interface Move<State> {
  /** Absent: it is new. */
  readonly from?: State;
  readonly to: State;
  readonly reason?: string | undefined;
}

/** One line for each file that moved without trouble. */
export function logFileMoves(
  logger: Logger,
  run: Run,
  files: readonly { readonly name: string }[],
  { from, to, reason }: Move<FileState>,
): void {
  for (const { name } of files) logger.info(logFields(run, { file: name, from, to, reason }), 'file moved');
}

/** The line of a run that an operator moved. */
export function logRunMove(logger: Logger, run: Run, { to, reason }: Move<RunState>): void {
  if (to !== run.state) logger.info(logFields(run, { from: run.state, to, reason }), 'run moved');
}
