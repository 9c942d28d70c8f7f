import { z } from 'zod';
import type { Export } from '../store/exports.ts';
import type { File } from '../store/files.ts';
import type { Run } from '../store/runs.ts';

/** What a manifest must say, whoever wrote it; fields that are for readers only are left out. */
const manifestShape = z.object({
  version: z.literal(1),
  tenant: z.string(),
  definition: z.string(),
  window: z.object({ from: z.string(), to: z.string() }),
  run: z.number(),
  attempt: z.number(),
  upstream: z.object({ marker: z.string().nullable() }),
  sink: z.string(),
  files: z.array(z.object({ name: z.string(), key: z.string(), size: z.number(), crc32: z.string() })),
  totals: z.object({ files: z.number(), bytes: z.number() }),
});

const mostShown = 3;

/** What of a file a manifest tells. */
export type ListedFile = Pick<File, 'key' | 'name' | 'size' | 'crc32' | 'state'>;

/** The files that a manifest lists, as Postgres would have them: for a run whose own have been pruned there. */
export function listedFiles(text: string): ListedFile[] {
  const parsed = manifestShape.safeParse(readJson(text));
  return parsed.success ? parsed.data.files.map((file) => ({ ...file, state: 'verified' })) : [];
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * What a manifest's text says that Postgres does not, or the other way round; empty when it is true.
 *
 * @param files those of the run's latest export, all verified; of a pruned run, those that the manifest itself lists
 */
export function manifestMistakes(
  text: string,
  run: Run,
  row: Pick<Export, 'marker'>,
  files: readonly ListedFile[],
  sinkUri: string,
): string[] {
  const json = readJson(text);
  if (json === undefined) return ['is no JSON'];
  const parsed = manifestShape.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return [`cannot be understood at ${issue?.path.join('.') || 'its top'}`];
  }
  const manifest = parsed.data;
  const mistakes: string[] = [];
  const compare = (what: string, says: string | number | null, is: string | number | null) => {
    if (says !== is) mistakes.push(`says ${what} ${says} instead of ${is}`);
  };
  compare('tenant', manifest.tenant, run.tenant);
  compare('definition', manifest.definition, run.definition);
  compare('window.from', manifest.window.from, run.windowFrom.toISOString());
  compare('window.to', manifest.window.to, run.windowTo.toISOString());
  compare('run', manifest.run, run.id);
  compare('attempt', manifest.attempt, run.attempt);
  compare('upstream.marker', manifest.upstream.marker, run.origin === 'adopt' ? null : row.marker);
  compare('sink', manifest.sink, sinkUri);
  compare('totals.files', manifest.totals.files, files.length);
  compare(
    'totals.bytes',
    manifest.totals.bytes,
    files.reduce((sum, file) => sum + (file.size ?? 0), 0),
  );
  mistakes.push(...listMistakes(manifest.files, files));
  return mistakes;
}

function listMistakes(
  entries: z.infer<typeof manifestShape>['files'],
  files: readonly ListedFile[],
): string[] {
  const byKey = new Map(files.map((file) => [file.key, file]));
  const listed = new Set(entries.map((entry) => entry.key));
  const wrong: string[] = [];
  for (const file of files) if (!listed.has(file.key)) wrong.push(`does not list ${file.key}`);
  if (listed.size !== entries.length) wrong.push('lists a file twice');
  for (const { key, name, size, crc32 } of entries) {
    const file = byKey.get(key);
    if (!file) wrong.push(`lists ${key}, which is no file of the run`);
    else if (name !== file.name || size !== file.size || crc32 !== file.crc32)
      wrong.push(
        `says of ${key}: "${name}", ${size} bytes, CRC-32 ${crc32}, instead of "${file.name}", ${file.size ?? 0}, ${file.crc32 ?? '-'}`,
      );
  }
  const more = wrong.length - mostShown;
  return more > 0 ? [...wrong.slice(0, mostShown), `and ${more} mistakes more`] : wrong;
}
