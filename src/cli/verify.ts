import pLimit from 'p-limit';
import { UsageError } from '../errors.ts';
import { createVerifier } from '../jobs/verify.ts';
import type { ProblemKind, RunVerdict } from '../jobs/verify.ts';
import type { Proof } from '../sinks/verify.ts';
import { listRuns, runsById } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import { isVerifiable, verifiableRuns } from '../store/verifiable.ts';
import { definitionNamed, instantOf, runIdOf, wholeNumberOf } from './arguments.ts';
import { exitCodes } from './exit-codes.ts';
import { counted, humanBytes, print, printJson, showWindow } from './output.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';
import { inSession } from './session.ts';
import type { Session } from './session.ts';
import { onInterrupt } from './signals.ts';

export interface VerifyOptions extends GlobalOptions {
  readonly run?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly deep?: boolean;
  readonly concurrency: string;
}

interface Totals {
  runs: number;
  files: number;
  /** Bytes of those files. */
  bytes: number;
  readonly proof: Record<Proof['level'], number>;
  readonly problems: Record<ProblemKind, number>;
  /** Moved on while they were looked at. */
  skipped: number;
}

/** `udm-sync verify [definition…]`: does the sink still hold what was stored? Changes nothing. */
export async function verifyCommand(names: readonly string[], options: VerifyOptions): Promise<number> {
  const concurrency = wholeNumberOf('--concurrency', options.concurrency, 1, 1000);
  const ids = (options.run ?? []).map(runIdOf);
  const from = options.from === undefined ? undefined : instantOf('--from', options.from);
  const to = options.to === undefined ? undefined : instantOf('--to', options.to);
  if (ids.length > 0 && (names.length > 0 || from || to))
    throw new UsageError('--run names the runs; it goes without definitions, --from and --to.');
  if (from && to && from >= to) throw new UsageError('--from must be before --to.');
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const interrupt = onInterrupt();
  const { signal } = interrupt;
  const deep = options.deep === true;
  const totals: Totals = {
    runs: 0,
    files: 0,
    bytes: 0,
    proof: { size: 0, checksum: 0, read: 0 },
    problems: { missing: 0, different: 0, manifest: 0, unchecked: 0 },
    skipped: 0,
  };
  const verdicts: RunVerdict[] = [];
  try {
    await inSession(config, logger, { working: false }, async (session) => {
      const verify = createVerifier(session.pipeline, { deep, limit: pLimit(concurrency), signal });
      for await (const page of runsOf(session, names, ids, from, to))
        for (const verdict of await Promise.all(page.map(verify))) {
          count(totals, verdict);
          if (!verdict) continue;
          if (options.json) verdicts.push(verdict);
          else showVerdict(verdict);
        }
    });
  } catch (error) {
    if (!signal.aborted) throw error;
    process.stderr.write(`udm-sync: interrupted after ${counted(totals.runs, 'run')}\n`);
    return exitCodes.interrupted;
  } finally {
    interrupt.dispose();
  }
  const ok = Object.values(totals.problems).every((found) => found === 0);
  if (options.json) printJson({ ok, deep, totals, runs: verdicts.map(verdictJson) });
  else showTotals(totals);
  return ok ? exitCodes.done : exitCodes.failed;
}

async function* runsOf(
  { config, pipeline: { db } }: Session,
  names: readonly string[],
  ids: readonly number[],
  from: Date | undefined,
  to: Date | undefined,
): AsyncGenerator<Run[]> {
  if (ids.length > 0) {
    const found = await runsById(db, ids);
    for (const id of ids) {
      const run = found.find((known) => known.id === id);
      if (!run) throw new UsageError(`There is no run ${id}.`, { hint: 'udm-sync runs lists them.' });
      if (!isVerifiable(run))
        throw new UsageError(`Run ${id} is ${run.state}; only what is stored or done can be verified.`);
    }
    yield found;
    return;
  }
  // Runs outlive their definition, so only a name that neither config nor database knows is a mistake.
  for (const name of names)
    if ((await listRuns(db, { definition: name, limit: 1 })).length === 0) definitionNamed(config, name);
  yield* verifiableRuns(db, { definitions: names, from, to });
}

function count(totals: Totals, verdict: RunVerdict | undefined): void {
  if (!verdict) {
    totals.skipped += 1;
    return;
  }
  totals.runs += 1;
  totals.files += verdict.files.length;
  for (const { size, proof } of verdict.files) {
    totals.bytes += size;
    if (proof) totals.proof[proof] += 1;
  }
  for (const { kind } of verdict.problems) totals.problems[kind] += 1;
}

/** The stable contract of `verify --json` (docs/cli.md). */
function verdictJson({ run, files, problems }: RunVerdict): Record<string, unknown> {
  return {
    run: run.id,
    definition: run.definition,
    window: { from: run.windowFrom.toISOString(), to: run.windowTo.toISOString() },
    sink: run.sink,
    manifestKey: run.manifestKey,
    pruned: run.prunedAt !== null,
    files,
    problems,
  };
}

function showVerdict({ run, files, problems }: RunVerdict): void {
  const label = `run ${run.id} ${run.definition} ${showWindow(run.windowFrom, run.windowTo)}`;
  for (const { kind, key, detail } of problems)
    print(`FAIL  ${label}: ${kind}${key === null ? '' : ` ${key}`}: ${detail}`);
  if (problems.length > 0) return;
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  print(`ok    ${label}: ${counted(files.length, 'file')}, ${humanBytes(bytes)}${levels(files)}`);
}

/** How far the files of a run are proven; each level with its number where there are several. */
function levels(files: RunVerdict['files']): string {
  const counts = new Map<string, number>();
  for (const { proof } of files) if (proof) counts.set(proof, (counts.get(proof) ?? 0) + 1);
  if (counts.size === 0) return '';
  const all = [...counts].map(([level, n]) => (counts.size === 1 ? level : `${n} ${level}`));
  return `, proof: ${all.join(', ')}`;
}

function showTotals({ runs, files, bytes, proof, problems, skipped }: Totals): void {
  print(
    `\n${counted(runs, 'run')}, ${counted(files, 'file')}, ${humanBytes(bytes)}. ` +
      `Proven by size: ${proof.size}, by checksum: ${proof.checksum}, by reading: ${proof.read}. ` +
      `Missing: ${problems.missing}, different: ${problems.different}, wrong manifests: ${problems.manifest}, not checked: ${problems.unchecked}.`,
  );
  if (skipped > 0) print(`${counted(skipped, 'run')} moved on meanwhile: verify again later.`);
}
