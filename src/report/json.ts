import { printableJson } from '../printable.ts';
import { entriesWithFiles, isOpen } from './entries.ts';
import type { FileEntry, WindowEntry } from './entries.ts';
import type { ReportInput } from './report.ts';
import { isComplete } from './summary.ts';

/** The report as one JSON document, a line for each window and file: a stable contract (docs/json.md). */
export async function* jsonReport({ db, scope, summary, only }: ReportInput): AsyncGenerator<string> {
  const { totals, definitions } = summary;
  const head = JSON.stringify({
    version: 1,
    generatedAt: scope.now,
    from: scope.from,
    to: scope.to,
    definition: only ?? null,
    complete: isComplete(totals),
    totals,
    definitions: definitions.map(({ name, totals: own }) => ({
      definition: name,
      complete: isComplete(own),
      totals: own,
    })),
  });
  yield `${printableJson(head).slice(0, -1)},\n"windows":[`;
  let windows = 0;
  let files = 0;
  for (const definition of scope.definitions)
    for await (const entry of entriesWithFiles(db, scope, definition)) {
      if (entry.kind === 'file') {
        yield `${files === 0 ? '' : ','}\n  ${line(fileJson(entry))}`;
        files += 1;
        continue;
      }
      // Left open for its files.
      yield `${windows === 0 ? '' : ']},'}\n${line(windowJson(entry)).slice(0, -1)},"files":[`;
      windows += 1;
      files = 0;
    }
  yield `${windows === 0 ? '' : ']}\n'}]}\n`;
}

function line(value: Record<string, unknown>): string {
  return printableJson(JSON.stringify(value));
}

function windowJson(entry: WindowEntry): Record<string, unknown> {
  if (entry.kind === 'gap')
    return {
      definition: entry.definition,
      window: { from: entry.from, to: entry.to },
      outcome: entry.outcome,
      windows: entry.windows,
      run: null,
      tenant: null,
      sink: null,
      sinkUri: null,
      origin: null,
      entry: null,
      state: null,
      attempt: null,
      reason: null,
      manifestKey: null,
      createdAt: null,
      finishedAt: null,
    };
  const { run } = entry;
  return {
    definition: run.definition,
    window: { from: run.from, to: run.to },
    outcome: entry.outcome,
    windows: 1,
    run: run.id,
    tenant: run.tenant,
    sink: run.sink,
    sinkUri: run.sinkUri,
    origin: run.origin,
    entry: run.entry,
    state: run.state,
    attempt: run.attempt,
    reason: run.reason,
    manifestKey: run.manifestKey,
    createdAt: run.createdAt,
    finishedAt: run.finishedAt,
  };
}

function fileJson({ file, run }: FileEntry): Record<string, unknown> {
  return {
    name: file.name,
    key: file.key,
    state: file.state,
    open: isOpen(file, run),
    size: file.size,
    announcedSize: file.announcedSize,
    crc32: file.crc32,
    etag: file.etag,
    proof: file.proof,
    attempt: file.attempt,
    tries: file.attempts,
    reason: file.reason,
    foundAt: file.foundAt,
    verifiedAt: file.verifiedAt,
    deletedAt: file.deletedAt,
    expiresAt: file.expiresAt,
  };
}
