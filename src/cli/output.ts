import { UdmSyncError, UsageError, describeError } from '../errors.ts';

export { counted, humanBytes, humanDuration, showWindow, utc } from '../format.ts';

/** What happened, what to do, and the code that docs/errors.md explains; a wrong flag explains itself. */
export function explain(error: unknown): string {
  const coded = error instanceof UdmSyncError && !(error instanceof UsageError);
  return `${describeError(error)}${coded ? ` [${error.code}]` : ''}`;
}

/** Prints rows under headings, columns padded; nothing for no rows. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(headings), ...rows.map(line)].join('\n');
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}
