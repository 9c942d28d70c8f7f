#!/usr/bin/env node
import { UdmSyncError, UsageError } from '../errors.ts';
import { printableLines } from '../printable.ts';
import { createRedactor } from '../udm/redact.ts';
import { exitCodes } from './exit-codes.ts';
import { explain } from './output.ts';
import { buildProgram } from './program.ts';

// What escapes a command (an error event nobody listens to) is told like any other failure.
process.on('uncaughtException', (error) => process.exit(report(error)));
// Whoever reads us may stop reading: `udm-sync runs | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? exitCodes.done : report(error));
});

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
    return report(error);
  }
}

/** Says on stderr what happened and what to do; a stack only for what is not foreseen. */
function report(error: unknown): number {
  if (error instanceof UdmSyncError) {
    process.stderr.write(`udm-sync: ${printableLines(explain(error))}\n`);
    return error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
  }
  // Nobody has checked what these say.
  const redactor = createRedactor();
  const [said = ''] = redactor.text(explain(error)).trim().split('\n');
  const stack = error instanceof Error ? `${redactor.text(error.stack ?? '')}\n` : '';
  process.stderr.write(
    printableLines(
      `udm-sync: ${said.replace(/[.:]?$/, '.')} This was not foreseen; please report it with what follows.\n${stack}`,
    ),
  );
  return exitCodes.failed;
}

function isCommanderExit(error: unknown): error is { exitCode: number } {
  return (
    error instanceof Error &&
    'code' in error &&
    String(error.code).startsWith('commander.') &&
    'exitCode' in error
  );
}
