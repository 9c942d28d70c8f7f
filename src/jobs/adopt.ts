import type { AdoptConfig, DefinitionConfig } from '../config/config.ts';
import { matchesTitle } from '../config/title-match.ts';
import { plainWord } from '../config/words.ts';
import { reached } from '../crash-points.ts';
import { describeError } from '../errors.ts';
import {
  adoptedBy,
  findAdoption,
  idsOfOurs,
  insertAdopted,
  noteLook,
  noteLookFailed,
  noteSeen,
} from '../store/adoptions.ts';
import type { NewEntry } from '../store/adoptions.ts';
import { databaseNow, lockFor, transact } from '../store/database.ts';
import { countUnfinished } from '../store/runs.ts';
import type { Run } from '../store/runs.ts';
import { classifyStatus } from '../udm/status.ts';
import type { StatusMeaning } from '../udm/status.ts';
import type { HistoryEntry } from '../udm/types.ts';
import type { Pipeline } from './context.ts';
import { isOurTitle } from './marker.ts';
import { logFields } from './settle.ts';
import { extraWords } from './upstream-job.ts';

/** A definition that collects what people's jobs made. */
export type AdoptingDefinition = DefinitionConfig & { readonly adopt: AdoptConfig };

export function adopts(definition: DefinitionConfig): definition is AdoptingDefinition {
  return definition.adopt !== undefined;
}

/** A look that failed is repeated after this time, or after `adopt.every` if that is shorter. */
const retryLookMs = 60_000;

export interface LookOptions {
  /** Looks now, whatever was noted of the next look: for `udm-sync run`. */
  readonly now?: boolean;
  readonly signal: AbortSignal;
  /** What was said before, so that it is said once. */
  readonly told: Set<string>;
}

/**
 * Looks at the upstream's history once, if that is due, and makes a run for each finished entry that has none.
 *
 * When it is due is kept in Postgres, so one of all replicas looks; should two look at once, an entry still has one run
 * at most. GET /v10/export/history, all pages.
 *
 * @returns the new runs; undefined when it was not due, or failed, which is logged and noted
 */
export async function adoptEntries(
  pipeline: Pipeline,
  definition: AdoptingDefinition,
  options: LookOptions,
): Promise<Run[] | undefined> {
  const begun = await begin(pipeline, definition, options.now === true);
  if (begun === undefined) return undefined;
  try {
    const entries = await matching(pipeline, definition, begun.since, options.signal);
    return await takeUp(pipeline, definition, begun.now, entries, options.told);
  } catch (error) {
    if (options.signal.aborted) return undefined;
    const reason = describeError(error);
    const { name } = definition;
    pipeline.logger.warn(
      { definition: name, tenant: definition.tenant, reason },
      'the history of jobs could not be looked at',
    );
    const next = new Date(begun.now.getTime() + Math.min(retryLookMs, definition.adopt.everyMs));
    reached('before:note-look-failed');
    await noteLookFailed(pipeline.db, name, reason, next);
    reached('after:note-look-failed');
    return undefined;
  }
}

/** Takes the look that is due, so that no other replica does. */
async function begin(
  { db, config }: Pipeline,
  { name, adopt }: AdoptingDefinition,
  atOnce: boolean,
): Promise<{ since: Date; now: Date } | undefined> {
  const begun = await transact(db, async (tx) => {
    await lockFor(tx, `plan:${name}`);
    const now = await databaseNow(tx);
    const known = await findAdoption(tx, name);
    if (!atOnce && known && known.nextLookAt > now) return undefined;
    // What is older when it is first looked at has no files any more, and was not ours to lose.
    const since = adopt.since ?? known?.since ?? new Date(now.getTime() - config.retention.keepForMs);
    await noteLook(tx, { definition: name, since, nextLookAt: new Date(now.getTime() + adopt.everyMs) });
    reached('before:note-look');
    return { since, now };
  });
  reached('after:note-look');
  return begun;
}

/** The entries of people's jobs that a definition adopts, oldest first. */
async function matching(
  pipeline: Pipeline,
  definition: AdoptingDefinition,
  since: Date,
  signal: AbortSignal,
): Promise<HistoryEntry[]> {
  const { adopt, source, type, tenant } = definition;
  const filter = { source, type, ...(adopt.match === 'regex' ? {} : { title: adopt.title }) };
  const entries: HistoryEntry[] = [];
  for await (const entry of pipeline.upstream(tenant).listHistory(filter, signal))
    if (isAdopted(definition, entry) && !(entry.createdDate && entry.createdDate < since))
      entries.push(entry);
  const ids = entries.flatMap(({ id, jobId }) => (jobId === undefined ? [id] : [id, jobId]));
  const ours = await idsOfOurs(pipeline.db, tenant, ids);
  return entries
    .filter(({ id, jobId }) => !ours.has(id) && !(jobId !== undefined && ours.has(jobId)))
    .sort((a, b) => (a.createdDate?.getTime() ?? Infinity) - (b.createdDate?.getTime() ?? Infinity));
}

/** The upstream's filters are loose: whether an entry is of a job that the definition names, and of none of ours. */
export function isAdopted(
  { adopt, source, type }: Pick<AdoptingDefinition, 'adopt' | 'source' | 'type'>,
  entry: Pick<HistoryEntry, 'title' | 'source' | 'type'>,
): boolean {
  if (entry.title === undefined || isOurTitle(entry.title) || !matchesTitle(adopt, entry.title)) return false;
  const same = (wanted: string, said: string | undefined) =>
    said === undefined || plainWord(said) === plainWord(wanted);
  return same(source, entry.source) && same(type, entry.type);
}

/** How an entry ended; undefined while it has not, as far as the upstream says. */
export function outcomeOf(
  entry: Pick<HistoryEntry, 'status' | 'progress'>,
  words: Readonly<Record<string, StatusMeaning>>,
): NewEntry['outcome'] | undefined {
  if (entry.status === undefined) return entry.progress === 100 ? 'completed' : undefined;
  const meaning = classifyStatus(entry.status, words);
  return meaning === 'completed' || meaning === 'failed' || meaning === 'cancelled' ? meaning : undefined;
}

/** Makes the runs, and notes what was seen. */
async function takeUp(
  pipeline: Pipeline,
  definition: AdoptingDefinition,
  now: Date,
  entries: readonly HistoryEntry[],
  told: Set<string>,
): Promise<Run[]> {
  const { db, queue, who } = pipeline;
  const { name, tenant, adopt } = definition;
  const words = extraWords(pipeline.config, tenant);
  const finished: NewEntry[] = [];
  for (const entry of entries) {
    const outcome = outcomeOf(entry, words);
    if (outcome !== undefined) finished.push(toTakeUp(entry, outcome, now));
    else warnOfWord(pipeline, definition, entry, words, told);
  }
  const owners = await adoptedBy(
    db,
    tenant,
    finished.map(({ id }) => id),
  );
  for (const { id } of finished) warnOfOwner(pipeline, definition, id, owners.get(id), told);
  const fresh = finished.filter(({ id }) => !owners.has(id));
  const made = await transact(db, async (tx) => {
    await lockFor(tx, `plan:${name}`);
    const room = Math.max(0, adopt.catchUp - (await countUnfinished(tx, name)));
    const runs: Run[] = [];
    for (const entry of fresh.slice(0, room)) {
      const run = await insertAdopted(tx, definition, entry, who);
      if (!run) continue;
      runs.push(run);
      if (run.state === 'collecting') await queue.sendStep(tx, run);
    }
    const waiting = Math.max(0, fresh.length - room);
    const soon = new Date(now.getTime() + Math.min(retryLookMs, adopt.everyMs));
    await noteSeen(
      tx,
      name,
      { matched: entries.length, inProgress: entries.length - finished.length, waiting },
      waiting > 0 ? soon : undefined,
    );
    reached('before:adopt-entries');
    return runs;
  });
  reached('after:adopt-entries');
  for (const run of made) announce(pipeline, run);
  return made;
}

function toTakeUp(entry: HistoryEntry, outcome: NewEntry['outcome'], now: Date): NewEntry {
  const { id, jobId, title, source, type, fileName, fileSize, createdDate, status } = entry;
  const why = entry.reason === undefined ? '' : `: ${entry.reason}`;
  return {
    id,
    jobId,
    madeAt: createdDate ?? now,
    outcome,
    statusWord: status,
    reason:
      outcome === 'completed'
        ? undefined
        : `the upstream reports the export as ${outcome} ("${status ?? ''}")${why}`,
    said: { title, source, type, fileName, fileSize, createdDate: createdDate?.toISOString(), status },
  };
}

function announce(pipeline: Pipeline, run: Run): void {
  pipeline.events.emit('event', { kind: 'planned', run });
  const fields = logFields(run, {
    entry: run.adoptedEntry,
    madeAt: run.windowFrom.toISOString(),
    state: run.state,
    reason: run.reason ?? undefined,
  });
  if (run.state === 'collecting') pipeline.logger.info(fields, 'entry adopted');
  else pipeline.logger.warn(fields, "a people's job came to nothing; noted, nothing to collect");
}

function warnOfWord(
  { logger }: Pipeline,
  { name }: AdoptingDefinition,
  { status }: HistoryEntry,
  words: Readonly<Record<string, StatusMeaning>>,
  told: Set<string>,
): void {
  if (status === undefined || classifyStatus(status, words) !== 'unknown') return;
  if (!once(told, `word ${name} ${status}`)) return;
  logger.warn(
    { definition: name, word: status },
    'the upstream uses a status word this version does not know; it is taken as "not finished" (tenants.*.statusWords teaches it)',
  );
}

function warnOfOwner(
  { logger }: Pipeline,
  { name }: AdoptingDefinition,
  entry: string,
  owner: string | undefined,
  told: Set<string>,
): void {
  if (owner === undefined || owner === name || !once(told, `owner ${name} ${entry}`)) return;
  logger.warn(
    { definition: name, entry, owner },
    'another definition has collected this entry; it is collected once (make their adopt.title differ)',
  );
}

/** Whether this is said for the first time. */
function once(told: Set<string>, what: string): boolean {
  if (told.has(what)) return false;
  told.add(what);
  return true;
}
