#!/usr/bin/env node
import { UdmSyncError, UsageError, describeError } from '../errors.ts';
import { exitCodes } from './exit-codes.ts';
import { buildProgram } from './program.ts';

process.exitCode = await main(process.argv);

/** Runs one command and turns its outcome into an exit code; the only place that does. */
async function main(argv: readonly string[]): Promise<number> {
  let exitCode: number = exitCodes.done;
  const program = buildProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...argv]);
    return exitCode;
  } catch (error) {
    if (isCommanderExit(error)) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    process.stderr.write(`udm-sync: ${describeError(error)}\n`);
    if (error instanceof UsageError) return exitCodes.usage;
    if (!(error instanceof UdmSyncError) && error instanceof Error)
      process.stderr.write(`${error.stack ?? ''}\n`);
    return exitCodes.failed;
  }
}

function isCommanderExit(error: unknown): error is { exitCode: number } {
  return (
    error instanceof Error &&
    'code' in error &&
    String(error.code).startsWith('commander.') &&
    'exitCode' in error
  );
}
