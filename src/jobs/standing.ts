import type { DefinitionConfig } from '../config/config.ts';
import { counted, utc } from '../format.ts';
import { listAdoptions } from '../store/adoptions.ts';
import type { Adoption } from '../store/adoptions.ts';
import { uncovered } from '../store/coverage.ts';
import type { Executor } from '../store/database.ts';
import type { ExpirySummary } from '../store/expiry.ts';
import { scheduledStretch } from '../store/runs.ts';
import { listSchedules } from '../store/schedules.ts';
import { definitionStatuses } from '../store/status.ts';
import type { FilesAtRisk } from '../store/status.ts';
import { cut, horizon } from './windows.ts';
import type { Window } from './windows.ts';

/** How one definition stands. */
export interface Standing {
  readonly definition: string;
  /** False: it has runs, but the config no longer has it. */
  readonly configured: boolean;
  readonly done: number;
  readonly unfinished: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Windows that are due and not planned yet. */
  readonly missing: number;
  readonly doneUntil: Date | null;
  readonly lastDoneAt: Date | null;
  /** Of a definition that adopts: when it looks for entries next. */
  readonly nextTickAt: Date | null;
  readonly adopts: Adopting | null;
}

/** What a definition that adopts saw when it last looked. */
export interface Adopting {
  readonly title: string;
  readonly lastLookAt: Date | null;
  /** Entries that matched, known ones included. */
  readonly matched: number;
  readonly inProgress: number;
  /** Why the latest look failed. */
  readonly reason: string | null;
}

function adoptingOf(definition: DefinitionConfig | undefined, seen: Adoption | undefined): Adopting | null {
  if (!definition?.adopt) return null;
  const { lastLookAt = null, matched = 0, inProgress = 0, reason = null } = seen ?? {};
  return { title: definition.adopt.title, lastLookAt, matched, inProgress, reason };
}

export interface Verdict {
  readonly word: 'lost' | 'at-risk' | 'under-way' | 'safe' | 'idle';
  readonly sentence: string;
}

/** How every definition of the config, and every other that has runs, stands at `now`. */
export async function readStandings(
  db: Executor,
  configured: readonly DefinitionConfig[],
  now: Date,
): Promise<Standing[]> {
  const counts = new Map((await definitionStatuses(db)).map((status) => [status.definition, status]));
  const ticks = new Map((await listSchedules(db)).map((tick) => [tick.definition, tick.nextTickAt]));
  const looks = new Map((await listAdoptions(db)).map((look) => [look.definition, look]));
  const names = new Set([...configured.map((definition) => definition.name), ...counts.keys()]);
  const standings: Standing[] = [];
  for (const name of names) {
    const definition = configured.find((known) => known.name === name);
    const known = counts.get(name);
    standings.push({
      definition: name,
      configured: definition !== undefined,
      done: known?.done ?? 0,
      unfinished: known?.unfinished ?? 0,
      failed: known?.failed ?? 0,
      cancelled: known?.cancelled ?? 0,
      missing: definition ? await countMissing(db, definition, looks.get(name), now) : 0,
      doneUntil: known?.doneUntil ?? null,
      lastDoneAt: known?.lastDoneAt ?? null,
      nextTickAt: nextTickOf(definition, ticks.get(name), looks.get(name)),
      adopts: adoptingOf(definition, looks.get(name)),
    });
  }
  return standings;
}

/** The stretch in which every window of a definition is owed by `now`, if history has begun. */
export async function owedStretch(
  db: Executor,
  definition: DefinitionConfig,
  now: Date,
): Promise<Window | undefined> {
  if (definition.adopt) return undefined;
  const { lengthMs, lagMs, start } = definition.windows;
  const from = start ?? (await scheduledStretch(db, definition.name))?.from;
  const to = horizon(now, lengthMs, lagMs);
  return from && from < to ? { from, to } : undefined;
}

function nextTickOf(
  definition: DefinitionConfig | undefined,
  tick: Date | undefined,
  look: Adoption | undefined,
): Date | null {
  if (definition?.adopt) return look?.nextLookAt ?? null;
  return definition?.schedule ? (tick ?? null) : null;
}

/** Windows that are due and not planned; of a definition that adopts, entries that wait for their turn. */
async function countMissing(
  db: Executor,
  definition: DefinitionConfig,
  look: Adoption | undefined,
  now: Date,
): Promise<number> {
  if (definition.adopt) return look?.waiting ?? 0;
  const owed = await owedStretch(db, definition, now);
  const gaps = owed ? await uncovered(db, definition.name, owed) : [];
  return gaps.flatMap((gap) => cut(gap, definition.windows.lengthMs)).length;
}

/** Is my data safe? In a word, for programs, and in a sentence. */
export function verdictOf(
  definitions: readonly Standing[],
  files: FilesAtRisk,
  expiry: ExpirySummary,
): Verdict {
  const sum = (pick: (row: Standing) => number) => definitions.reduce((total, row) => total + pick(row), 0);
  const failed = sum((d) => d.failed);
  const unfinished = sum((d) => d.unfinished);
  const missing = sum((d) => d.missing);
  const cancelled = sum((d) => d.cancelled);
  if (files.lost > 0)
    return {
      word: 'lost',
      sentence: `NOT SAFE: the vendor deleted ${counted(files.lost, 'file')} before they were copied.`,
    };
  if (expiry.critical > 0)
    return {
      word: 'at-risk',
      sentence: `AT RISK: the vendor deletes ${counted(expiry.critical, 'file')} soon, the first at ${utc(expiry.soonest)}, before they are safe.`,
    };
  if (failed > 0)
    return {
      word: 'at-risk',
      sentence: `AT RISK: ${counted(failed, 'window')} failed; somebody must look and retry.`,
    };
  const unseen = definitions.filter((d) => d.adopts !== null && d.adopts.reason !== null);
  if (unseen.length > 0)
    return {
      word: 'at-risk',
      sentence: `AT RISK: what ${unseen.map((d) => d.definition).join(', ')} adopts could not be looked at.`,
    };
  if (unfinished + missing > 0)
    return {
      word: 'under-way',
      sentence: `Safe so far: ${counted(unfinished, 'window')} under way, ${missing} not planned yet.`,
    };
  if (cancelled > 0)
    return {
      word: 'safe',
      sentence: `Safe, but for ${counted(cancelled, 'window')} that somebody cancelled: all others that are due are verified in the sink.`,
    };
  return definitions.some((d) => d.done > 0)
    ? { word: 'safe', sentence: 'Safe: every window that is due is verified in the sink.' }
    : { word: 'idle', sentence: 'Nothing has been exported yet, and nothing is due.' };
}
