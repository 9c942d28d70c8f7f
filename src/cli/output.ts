import { UdmSyncError, UsageError, describeError } from '../errors.ts';
import { printable, printableJson, printableLines } from '../printable.ts';

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

/** Prints text of ours; what is put into it from outside goes through `printable` first. */
export function print(text = ''): void {
  process.stdout.write(`${printableLines(text)}\n`);
}

/** A number with its noun: `1 file`, `2 files`. */
export function counted(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/** Bytes for people: `0 B`, `1.5 MiB`. */
export function humanBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** A duration in ms for people: `45s`, `3m 20s`, `2h 5m`, `4d 3h`. */
export function humanDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [d, h, m, s] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
    seconds % 60,
  ];
  if (d > 0) return h > 0 ? `${d}d ${h}h` : `${d}d`;
  if (h > 0) return m > 0 ? `${h}h ${m}m` : `${h}h`;
  if (m > 0) return s > 0 ? `${m}m ${s}s` : `${m}m`;
  return `${s}s`;
}

/** An instant in UTC to the second, `2026-01-31T00:00:00Z`; a dash for none. */
export function utc(instant: Date | null | undefined): string {
  return instant ? instant.toISOString().replace(/\.\d+Z$/, 'Z') : '-';
}

/** A window as `from → to`, without what both ends have in common. */
export function showWindow(from: Date, to: Date): string {
  return `${utc(from).replace(':00Z', 'Z')} → ${utc(to).replace(':00Z', 'Z')}`;
}
