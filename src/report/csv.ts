import { printable } from '../printable.ts';
import { entriesWithFiles, isOpen } from './entries.ts';
import type { FileEntry, WindowEntry } from './entries.ts';
import type { ReportInput } from './report.ts';

export const csvColumns = [
  'record',
  'definition',
  'window_from',
  'window_to',
  'outcome',
  'windows',
  'run',
  'run_state',
  'attempt',
  'tenant',
  'sink',
  'sink_uri',
  'file',
  'key',
  'state',
  'open',
  'size',
  'crc32',
  'proof',
  'etag',
  'found_at',
  'verified_at',
  'deleted_at',
  'expires_at',
  'reason',
] as const;
type Cells = Partial<Record<(typeof csvColumns)[number], string | number | boolean | Date | null>>;

/**
 * The report as CSV (RFC 4180: UTF-8, a heading, CRLF): a row for each window, followed by one for each of its files.
 */
export async function* csvReport({ db, scope }: ReportInput): AsyncGenerator<string> {
  yield `${csvColumns.join(',')}\r\n`;
  for (const definition of scope.definitions)
    for await (const entry of entriesWithFiles(db, scope, definition))
      yield row(entry.kind === 'file' ? fileCells(entry) : windowCells(entry));
}

function row(cells: Cells): string {
  return `${csvColumns.map((column) => csvCell(cells[column])).join(',')}\r\n`;
}

/**
 * A cell that a spreadsheet only shows. One that begins like a formula gets an apostrophe before it, which makes it
 * text; control characters become escapes, so that a row is a line.
 */
export function csvCell(value: string | number | boolean | Date | null | undefined): string {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== 'string') return String(value);
  const text = printable(value);
  // Some spreadsheets take the full-width signs too, and skip blanks before them.
  const safe = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20|%]/u.test(text) ? `'${text}` : text;
  return /[",]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function windowCells(entry: WindowEntry): Cells {
  if (entry.kind === 'gap')
    return {
      record: 'window',
      definition: entry.definition,
      window_from: entry.from,
      window_to: entry.to,
      outcome: entry.outcome,
      windows: entry.windows,
    };
  const { run } = entry;
  return {
    ...runCells(entry.run),
    record: 'window',
    outcome: entry.outcome,
    windows: 1,
    attempt: run.attempt,
    key: run.manifestKey,
    reason: run.reason,
  };
}

function runCells(run: FileEntry['run']): Cells {
  return {
    definition: run.definition,
    window_from: run.from,
    window_to: run.to,
    run: run.id,
    run_state: run.state,
    tenant: run.tenant,
    sink: run.sink,
    sink_uri: run.sinkUri,
  };
}

function fileCells({ file, run }: FileEntry): Cells {
  return {
    ...runCells(run),
    record: 'file',
    attempt: file.attempt,
    file: file.name,
    key: file.key,
    state: file.state,
    open: isOpen(file, run),
    size: file.size ?? file.announcedSize,
    crc32: file.crc32,
    proof: file.proof,
    etag: file.etag,
    found_at: file.foundAt,
    verified_at: file.verifiedAt,
    deleted_at: file.deletedAt,
    expires_at: file.expiresAt,
    reason: file.reason,
  };
}
