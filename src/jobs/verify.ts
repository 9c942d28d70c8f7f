import type { LimitFunction } from 'p-limit';
import { UdmSyncError, describeError } from '../errors.ts';
import type { Sink } from '../sinks/sink.ts';
import { proveStored } from '../sinks/verify.ts';
import type { Proof } from '../sinks/verify.ts';
import { latestExport } from '../store/exports.ts';
import { filesOfExport } from '../store/files.ts';
import { findRun } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import { isVerifiable } from '../store/verifiable.ts';
import { sinkOf } from './context.ts';
import type { Pipeline } from './context.ts';
import { listedFiles, manifestMistakes } from './manifest-check.ts';
import type { ListedFile } from './manifest-check.ts';

export interface VerifyOptions {
  /** Also reads every object back. */
  readonly deep: boolean;
  /** Bounds the calls to sinks that are under way at once. */
  readonly limit: LimitFunction;
  readonly signal: AbortSignal;
}

/**
 * `missing`: nothing lies under the key. `different`: something else does. `manifest`: it is missing or not true.
 * `unchecked`: the sink would not say.
 */
export type ProblemKind = 'missing' | 'different' | 'manifest' | 'unchecked';

export interface Problem {
  readonly kind: ProblemKind;
  /** Relative to the sink; null when it is about the run as a whole. */
  readonly key: string | null;
  readonly detail: string;
}

export interface CheckedFile {
  readonly key: string;
  /** Bytes, as Postgres has it; the manifest, of a pruned run. */
  readonly size: number;
  /** How far the sink is proven to hold it now; null when it is not. */
  readonly proof: Proof['level'] | null;
}

/** How one run was found. */
export interface RunVerdict {
  readonly run: Run;
  readonly files: readonly CheckedFile[];
  readonly problems: readonly Problem[];
}

/** Nothing is ever written there; asking for it tells whether the sink answers. */
const probeKey = '_udm-sync/verify';
/** A million files take less. */
const largestManifest = 512 * 1024 * 1024;

/**
 * Compares what sinks hold of runs with what Postgres says of them, and changes nothing. S3: GetObject of the manifest,
 * HeadObject of each file, and when deep GetObject of each file.
 *
 * @returns a function that checks one run; undefined if it moved on while it was looked at, since late files have come
 */
export function createVerifier(
  pipeline: Pipeline,
  options: VerifyOptions,
): (run: Run) => Promise<RunVerdict | undefined> {
  const { db } = pipeline;
  const { signal, limit } = options;
  // A sink that does not answer is asked once, and not again for each of thousands of files.
  const answers = new Map<string, Promise<unknown>>();
  const answering = async (run: Run): Promise<Sink> => {
    const { sink } = sinkOf(pipeline, run);
    const known = answers.get(sink.name) ?? sink.stat(probeKey, signal);
    answers.set(sink.name, known);
    await known;
    return sink;
  };

  return async (run) => {
    let files: CheckedFile[] = [];
    const problems: Problem[] = [];
    try {
      const sink = await answering(run);
      const row = await latestExport(db, run.id);
      if (!row) throw new UdmSyncError('ERR_STATE', `Run ${run.id} is ${run.state} and has no export.`);
      const rows = run.prunedAt ? await filesListed(sink, run, signal) : await filesOfExport(db, row.id);
      const manifest = limit(() => checkManifest(sink, run, row, rows, signal));
      const found = await Promise.all(rows.map((file) => limit(() => checkFile(sink, file, options))));
      files = found.map(({ file }) => file);
      problems.push(...(await manifest), ...found.flatMap(({ problem }) => problem ?? []));
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof UdmSyncError)) throw error;
      // The sink does not answer, has moved or left the config: nothing of this run can be looked at.
      problems.push({ kind: 'unchecked', key: null, detail: describeError(error) });
    }
    if (problems.length > 0) {
      const now = await findRun(db, run.id);
      if (!now || !isVerifiable(now)) return undefined;
    }
    return { run, files, problems };
  };
}

async function checkManifest(
  sink: Sink,
  run: Run,
  row: { readonly marker: string },
  files: readonly ListedFile[],
  signal: AbortSignal,
): Promise<Problem[]> {
  const key = run.manifestKey;
  const wrong = (detail: string): Problem => ({ kind: 'manifest', key, detail });
  if (key === null) return [wrong('the run has none')];
  try {
    signal.throwIfAborted();
    const text = await readText(sink, key, signal);
    if (text === undefined) return [wrong(`it has over ${largestManifest} bytes`)];
    return manifestMistakes(text, run, row, files, sink.uri).map((mistake) => wrong(`it ${mistake}`));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof UdmSyncError && error.code === 'ERR_NOT_FOUND') return [wrong('it is missing')];
    return [{ kind: 'unchecked', key, detail: describeError(error) }];
  }
}

/** What the manifest of a pruned run lists: Postgres no longer knows. None if it cannot be read, which its check says. */
async function filesListed(sink: Sink, { manifestKey }: Run, signal: AbortSignal): Promise<ListedFile[]> {
  if (manifestKey === null) return [];
  try {
    return listedFiles((await readText(sink, manifestKey, signal)) ?? '');
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof UdmSyncError) return [];
    throw error;
  }
}

/** Undefined if it is larger than any manifest. */
async function readText(sink: Sink, key: string, signal: AbortSignal): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of await sink.read(key, signal)) {
    size += chunk.byteLength;
    if (size > largestManifest) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function checkFile(
  sink: Sink,
  row: ListedFile,
  { deep, signal }: VerifyOptions,
): Promise<{ file: CheckedFile; problem?: Problem }> {
  const { key, size, crc32 } = row;
  const not = (kind: ProblemKind, detail: string) => ({
    file: { key, size: size ?? 0, proof: null },
    problem: { kind, key, detail },
  });
  if ((row.state !== 'verified' && row.state !== 'deleted') || size === null || crc32 === null)
    return not('unchecked', `Postgres has it as ${row.state}`);
  try {
    signal.throwIfAborted();
    const expected = { bytes: size, crc32: Number.parseInt(crc32, 16) };
    const { level } = await proveStored(sink, key, expected, deep ? 'read' : 'head', signal);
    return { file: { key, size, proof: level } };
  } catch (error) {
    signal.throwIfAborted();
    const code = error instanceof UdmSyncError ? error.code : '';
    if (code === 'ERR_VERIFY_MISSING' || code === 'ERR_NOT_FOUND')
      return not('missing', `nothing is there; it had ${size} bytes, CRC-32 ${crc32}`);
    // Without the hint, which is for a transfer: that would send the file again.
    if (code === 'ERR_VERIFY_MISMATCH' && error instanceof Error) return not('different', error.message);
    return not('unchecked', describeError(error));
  }
}
