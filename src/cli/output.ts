import { UdmSyncError, UsageError, describeError } from '../errors.ts';
import { printable, printableJson, printableLines } from '../printable.ts';

export { counted, humanBytes, humanDuration, showWindow, utc } from '../format.ts';

/** What happened, what to do, and the code that docs/errors.md explains; a wrong flag explains itself. */
export function explain(error: unknown): string {
  const coded = error instanceof UdmSyncError && !(error instanceof UsageError);
  return `${describeError(error)}${coded ? ` [${error.code}]` : ''}`;
}

/** Rows under headings, columns padded; cells are texts from outside. */
export function table(headings: readonly string[], texts: readonly (readonly string[])[]): string {
  const rows = texts.map((row) => row.map(printable));
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
  process.stdout.write(`${printableJson(JSON.stringify(value, null, 2))}\n`);
}

/** The same in one line, for one document after the other. */
export function printJsonLine(value: unknown): void {
  process.stdout.write(`${printableJson(JSON.stringify(value))}\n`);
}

/** Prints text of ours; what is put into it from outside goes through `printable` first. */
export function print(text = ''): void {
  process.stdout.write(`${printableLines(text)}\n`);
}
