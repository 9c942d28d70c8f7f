/**
 * An auditor that shares no code with the program: judges by the upstream's own log, the stored bytes and Postgres
 * whether everything arrived whole, and nothing was deleted before it had.
 */
import { z } from 'zod';
import type { Expectation, ExportRow, Facts, FileRow, RunRow } from './facts.ts';
import type { StoredObject } from './storage.ts';
import type { UpstreamFile, UpstreamRequest } from './upstream-log.ts';

export type Rule = (facts: Facts) => string[];

/** What the auditor looks at, by name. Each rule answers what is wrong, in words; nothing when all is well. */
export const rules = {
  /** Each definition has one run for each window of its stretch, without gap or overlap, ended as it may. */
  windows,
  /** Each finished entry of the people's jobs that are adopted has one run, and that is done, or says that it failed. */
  entries,
  /** Jobs of people are all still there, and nobody but people has done anything to them. */
  peoplesJobs,
  /** Every file of the job a run went by lies under its final key with the same bytes, and Postgres says the same. */
  files: storedFiles,
  /** Nothing is lost: what is gone upstream by our hand is stored, and what is not stored was not gone by our fault. */
  lost,
  /** Every finished run has a manifest that lists exactly its files. */
  manifests,
  /** Nothing else is stored: no second copy, no leftover. */
  strays,
  /** No parts of unfinished uploads are left, in the store or in Postgres. */
  uploads,
  /** By the clock: the upstream got no DELETE before the files it concerns were verified. */
  deletedAfterVerified,
  /** By what was committed: the verification of every file a DELETE concerns was committed before it arrived. */
  deletedAfterCommit,
  /** The upstream holds none of our files any more where it should not, all where it should, and it was we who deleted them. */
  cleaned,
  /** No window had two live jobs at any time, and none was made that Postgres does not know. */
  oneLiveJob,
  /** No run that has ended has left a live job behind. */
  abandonedJobs,
  /** Every run that has not ended has a next step in the queue. */
  stuck,
  /** The history leads from nothing to the present state of every run, export and file, without a jump. */
  history,
} satisfies Record<string, Rule>;

export type RuleName = keyof typeof rules;

/** Applies every rule; empty when there is nothing to complain about. */
export function audit(facts: Facts): string[] {
  return Object.entries(rules).flatMap(([name, rule]) => rule(facts).map((what) => `${name}: ${what}`));
}

/** What could not be checked, because nobody keeps it there. */
export function unchecked({ unfinishedUploads, testimonies, history: lines }: Facts): string[] {
  const found: string[] = [];
  if (unfinishedUploads === undefined) found.push('uploads: the store does not list unfinished uploads');
  if (testimonies === undefined && !lines.some(({ committedAt }) => committedAt !== null))
    found.push('deletedAfterCommit: Postgres has track_commit_timestamp off, and there is no witness');
  return found;
}

function windows({ expected, runs }: Facts): string[] {
  const found: string[] = [];
  for (const { definition, from, to, lengthMs } of expected) {
    for (let at = from.getTime(); at < to.getTime(); at += lengthMs) {
      const there = runs.filter((run) => run.definition === definition && run.windowFrom.getTime() === at);
      const [run] = there;
      const name = `${definition} ${new Date(at).toISOString()}`;
      if (there.length !== 1) found.push(`${name} has ${there.length} runs`);
      else if (run?.windowTo.getTime() !== at + lengthMs) found.push(`${name} is not ${lengthMs} ms long`);
    }
  }
  for (const run of runs.filter(({ entry }) => entry === null)) {
    const expectation = expected.find(
      ({ definition, from, to }) =>
        definition === run.definition && from <= run.windowFrom && run.windowTo <= to,
    );
    if (!expectation) found.push(`run ${run.id} of ${run.definition} has a window nobody asked for`);
    if (!(expectation?.outcomes ?? ['done']).includes(run.state)) found.push(`run ${run.id} is ${run.state}`);
  }
  return found;
}

/** The definition that adopts a job, by the job's title. */
function adopterOf({ adopted }: Facts, title: string | undefined): Facts['adopted'][number] | undefined {
  return adopted.find((each) => each.title === title);
}

function entries(facts: Facts): string[] {
  const found: string[] = [];
  const made = facts.jobs.flatMap((job) =>
    job.runs.map((entry) => ({ ...entry, adopter: adopterOf(facts, job.title) })),
  );
  for (const { id, state, adopter } of made) {
    if (!adopter) continue;
    const [run, ...more] = facts.runs.filter((each) => each.entry === id);
    if (!run || more.length > 0) found.push(`entry ${id} has ${run ? more.length + 1 : 0} runs`);
    else if (run.definition !== adopter.definition) found.push(`entry ${id} has a run of ${run.definition}`);
    else if (run.state !== (state === 'completed' ? 'done' : state))
      found.push(`entry ${id} is ${state}, and its run ${run.state}`);
  }
  for (const { id, entry } of facts.runs)
    if (entry !== null && !made.some((each) => each.id === entry && each.adopter))
      found.push(`run ${id} has an entry nobody asked for`);
  return found;
}

function peoplesJobs(facts: Facts): string[] {
  const found: string[] = [];
  for (const { id, title, deletedAt, runs } of facts.jobs.filter((job) => !ourTitle.test(job.title))) {
    if (deletedAt !== undefined) found.push(`"${title}" is gone`);
    if (runs.some((entry) => entry.deletedAt !== undefined)) found.push(`"${title}" has lost history`);
    for (const { method, endpoint, jobs } of facts.requests)
      if (method !== 'GET' && /\/export\//.test(endpoint) && jobs.includes(id))
        found.push(`${endpoint} was sent for "${title}"`);
  }
  return found;
}

/** A file that a job of ours, or one that is adopted, made, with what Postgres and the store have of it. */
interface Delivery {
  readonly made: UpstreamFile;
  readonly run: RunRow | undefined;
  readonly row: FileRow | undefined;
  /** Whether its job is the one that the run goes by: the last. */
  readonly current: boolean;
  readonly key: string;
  readonly object: StoredObject | undefined;
}

/** What titles of our jobs hold for people: definition and window. */
const ourTitle = /\budm-sync (?<definition>\S+) (?<from>\S{16}Z)-(?<to>\S{16}Z)/;

function deliveries(facts: Facts): Delivery[] {
  const objects = new Map(facts.objects.map((object) => [object.key, object]));
  return facts.upstreamFiles.flatMap((made) => {
    const job = facts.jobs.find((each) => each.id === made.jobId);
    const title = ourTitle.exec(job?.title ?? '')?.groups;
    if (!title && !adopterOf(facts, job?.title)) return [];
    const run = facts.runs.find((each) =>
      title
        ? each.definition === title['definition'] &&
          each.windowFrom.getTime() === Date.parse(title['from'] ?? '')
        : each.entry === made.historyId,
    );
    const mine = facts.exports.find((each) => each.jobId === made.jobId && each.runId === run?.id);
    const row = facts.files.find((each) => each.exportId === mine?.id && each.name === made.name);
    const current = run !== undefined && exportsOf(facts, run).at(-1)?.jobId === made.jobId;
    const key = storedKey(facts, run, row?.key ?? '');
    return [{ made, run, row, current, key, object: objects.get(key) }];
  });
}

type Place = Pick<Expectation, 'tenant' | 'definition' | 'prefix' | 'delete' | 'expiring'>;

function expectationOf({ expected, adopted }: Facts, run: RunRow | undefined): Place | undefined {
  return [...expected, ...adopted].find((each) => each.definition === run?.definition);
}

function storedKey(facts: Facts, run: RunRow | undefined, key: string): string {
  const prefix = expectationOf(facts, run)?.prefix ?? '';
  return prefix === '' ? key : `${prefix}/${key}`;
}

/** Where the files of a run have to lie, below the prefix. */
function folderOf(expectation: Pick<Expectation, 'tenant' | 'definition'>, run: RunRow): string {
  const compact = (at: Date) => at.toISOString().replaceAll(/[:-]|\.\d+/g, '');
  const day = run.windowFrom.toISOString().slice(0, 10);
  const { tenant, definition } = expectation;
  const last = run.entry ?? compact(run.windowTo);
  return `${tenant}/${definition}/dt=${day}/${compact(run.windowFrom)}_${last}`;
}

const quoted = (name: string) => JSON.stringify(name.slice(0, 80));
const isProven = (row: FileRow | undefined) => row?.state === 'verified' || row?.state === 'deleted';
const isFinished = (run: RunRow | undefined) => run?.state === 'stored' || run?.state === 'done';

function storedFiles(facts: Facts): string[] {
  const found: string[] = [];
  for (const { made, run, row, current, object } of deliveries(facts)) {
    const name = quoted(made.name);
    if (isFinished(run) && current && !isProven(row))
      found.push(`Postgres does not know ${name} as verified, but its run is ${run?.state ?? ''}`);
    if (!run || !row) continue;
    const expectation = expectationOf(facts, run);
    if (expectation && !isKeyOf(row.key, folderOf(expectation, run), made.name))
      found.push(`${name} has the key ${row.key}`);
    // A later attempt's file of the same name has taken the place of an earlier one's.
    if (!isProven(row) || !current) continue;
    if (row.size !== made.size || row.crc32 !== made.crc32)
      found.push(`Postgres has ${name} with ${row.size} bytes and CRC-32 ${row.crc32}`);
    if (!object) found.push(`${name} is not in the bucket`);
    else if (object.size !== made.size || object.sha256 !== made.sha256)
      found.push(`${object.key} holds other bytes than the upstream made`);
  }
  for (const { title } of facts.jobs)
    if (!ourTitle.test(title) && !adopterOf(facts, title))
      found.push(`the job ${JSON.stringify(title)} is nobody's`);
  // A later attempt at a window may make the same names again, and takes their places.
  const last = new Set(facts.runs.map((run) => exportsOf(facts, run).at(-1)?.id));
  const keys = facts.files.filter(({ exportId }) => last.has(exportId)).map(({ key }) => key);
  if (new Set(keys).size < keys.length) found.push('two files have one key');
  return found;
}

function lost(facts: Facts): string[] {
  const all = deliveries(facts);
  const stored = new Set(facts.objects.map(({ sha256 }) => sha256));
  return all.flatMap(({ made, row }) => {
    const name = quoted(made.name);
    const later = all.some(({ made: other }) => other.name === made.name && other.createdAt > made.createdAt);
    if (row?.state === 'lost' && made.deletedBy !== 'vendor' && !later)
      return [`${name} counts as lost, but the vendor had not deleted it`];
    // What a later job of the same window made under the same name is that window's file.
    if (made.deletedBy === 'client' && !stored.has(made.sha256) && !later)
      return [`${name} was deleted by us and is stored nowhere`];
    return [];
  });
}

/** The last segment is the percent-encoded name, or, of a name too long for it, its beginning with a `~`. */
function isKeyOf(key: string, folder: string, name: string): boolean {
  const segment = key.slice(folder.length + 1);
  if (!key.startsWith(`${folder}/`) || segment.includes('/')) return false;
  const [beginning = ''] = segment.split('~');
  return segment.includes('~')
    ? name.length > 200 - beginning.length && name.startsWith(decodeURIComponent(beginning))
    : decodeURIComponent(segment) === name;
}

const manifestSchema = z.object({
  version: z.literal(1),
  definition: z.string(),
  window: z.object({ from: z.string(), to: z.string() }),
  run: z.number(),
  upstream: z.object({ jobId: z.string(), historyId: z.string() }),
  files: z.array(z.object({ name: z.string(), key: z.string(), size: z.number(), crc32: z.string() })),
  totals: z.object({ files: z.number(), bytes: z.number() }),
  writtenAt: z.string(),
});

function manifestKey(facts: Facts, run: RunRow): string {
  const expectation = expectationOf(facts, run);
  return expectation ? storedKey(facts, run, `${folderOf(expectation, run)}/_manifest.json`) : '';
}

function manifests(facts: Facts): string[] {
  const delivered = deliveries(facts);
  return facts.runs.flatMap((run) => {
    if (!isFinished(run)) return [];
    const object = facts.objects.find((each) => each.key === manifestKey(facts, run));
    if (object?.text === undefined) return [`run ${run.id} has no manifest`];
    const { success, data } = manifestSchema.safeParse(parsed(object.text));
    if (!success) return [`${object.key} is no manifest`];
    const found: string[] = [];
    const wrong = (what: string) => found.push(`${object.key}: ${what}`);
    const ours = delivered.filter((each) => each.run === run && each.made.jobId === data.upstream.jobId);
    if (data.run !== run.id || data.definition !== run.definition) wrong('is of another run');
    if (
      Date.parse(data.window.from) !== run.windowFrom.getTime() ||
      Date.parse(data.window.to) !== run.windowTo.getTime()
    )
      wrong('is of another window');
    const last = exportsOf(facts, run).at(-1);
    if (data.upstream.jobId !== last?.jobId || data.upstream.historyId !== last.historyId)
      wrong('names another job or history entry');
    const line = ({ name, size, crc32 }: { name: string; size: number; crc32: string }) =>
      JSON.stringify([name, size, crc32]);
    if (!sameSet(data.files.map(line), ours.map(({ made }) => made).map(line)))
      wrong('does not list exactly the files of the job');
    if (
      !sameSet(
        data.files.map(({ key }) => storedKey(facts, run, key)),
        ours.map(({ key }) => key),
      )
    )
      wrong('lists other keys');
    const bytes = ours.reduce((sum, { made }) => sum + made.size, 0);
    if (data.totals.files !== ours.length || data.totals.bytes !== bytes) wrong('has wrong totals');
    if (ours.some(({ row }) => !row?.verifiedAt || row.verifiedAt.getTime() > Date.parse(data.writtenAt)))
      wrong('was written before its files were verified');
    return found;
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function sameSet(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && new Set([...some, ...others]).size === some.length;
}

function exportsOf({ exports }: Facts, run: RunRow): ExportRow[] {
  return exports.filter((each) => each.runId === run.id).sort((a, b) => a.attempt - b.attempt);
}

function strays(facts: Facts): string[] {
  const runOf = (row: FileRow) => facts.runs.find(({ id }) => id === row.runId);
  const known = new Set([
    ...facts.files.map((row) => storedKey(facts, runOf(row), row.key)),
    ...facts.runs.map((run) => manifestKey(facts, run)),
  ]);
  return facts.objects
    .filter((object) => !known.has(object.key) && !isProbe(object))
    .map(({ key }) => `${key} belongs to nothing`);
}

/** What proves the permissions before work begins: it stays if the store goes away before it can be removed. */
const isProbe = ({ key, size }: StoredObject) =>
  /(^|\/)_udm-sync\/doctor\/[0-9a-f]{16}$/.test(key) && size <= 64;

function uploads({ unfinishedUploads = [], uploads: rows, runs }: Facts): string[] {
  const ended = new Set(runs.filter(hasEnded).map(({ id }) => id));
  return [
    ...unfinishedUploads.map((key) => `an unfinished upload of ${key} is left`),
    ...rows
      .filter(({ runId }) => ended.has(runId))
      .map(
        ({ fileId, runId }) => `Postgres still has an upload of file ${fileId}, but run ${runId} has ended`,
      ),
  ];
}

const hasEnded = ({ state }: RunRow) => state === 'done' || state === 'failed' || state === 'cancelled';

/** The rows of a name that meant something upstream when a request came: no later job's, and none that was lost. */
function rowsConcerned(facts: Facts, request: UpstreamRequest, name: string): FileRow[] {
  return facts.files.filter((row) => {
    if (row.name !== name || row.state === 'lost') return false;
    const jobId = facts.exports.find(({ id }) => id === row.exportId)?.jobId;
    const made = facts.upstreamFiles.find((file) => file.name === name && file.jobId === jobId);
    return made === undefined || made.createdAt <= request.at;
  });
}

function deletedAfterVerified(facts: Facts): string[] {
  const found: string[] = [];
  for (const request of facts.requests) {
    if (request.method !== 'DELETE') continue;
    const said = (name: string, what: string) =>
      found.push(`${request.endpoint} at ${request.wallTime} ${what.replace('it', quoted(name))}`);
    for (const name of concernedNames(facts, request)) {
      const rows = rowsConcerned(facts, request, name);
      for (const row of rows) {
        // Postgres rounds to the next ms, the log cuts off.
        if (!row.verifiedAt || row.verifiedAt.getTime() > Date.parse(request.wallTime) + 1)
          said(name, 'before it was verified');
      }
      if (rows.length === 0) said(name, 'for it, which Postgres does not know');
    }
  }
  return found;
}

function concernedNames(facts: Facts, request: UpstreamRequest): Set<string> {
  return new Set([...request.deletedFiles, ...filesAskedFor(facts, request)]);
}

/** The names of the files a DELETE concerns, whether it succeeded or not. */
function filesAskedFor(facts: Facts, { path, query, endpoint }: UpstreamRequest): string[] {
  const last = path.slice(endpoint.replace(/\{.*$/, '').length - 'DELETE '.length);
  const owned = (of: 'jobId' | 'historyId') =>
    facts.upstreamFiles.filter((file) => file[of] === last).map((file) => file.name);
  switch (endpoint) {
    case 'DELETE /v10/files':
      return (query['filename'] ?? '').split(',');
    case 'DELETE /v10/files/{filename}':
      return [last];
    case 'DELETE /v10/export/history/{id}':
      return owned('historyId');
    case 'DELETE /v10/export/jobs/{id}':
      return owned('jobId');
    default:
      return [`anything through ${endpoint}`];
  }
}

function deletedAfterCommit(facts: Facts): string[] {
  return [...byCommitTimes(facts), ...byTestimonies(facts)];
}

/** Postgres itself says when the transaction that made a file verified was committed. */
function byCommitTimes(facts: Facts): string[] {
  const committed = new Map<number, Date>();
  for (const { fileId, toState, committedAt } of facts.history)
    if (fileId !== null && toState === 'verified' && committedAt !== null && !committed.has(fileId))
      committed.set(fileId, committedAt);
  if (!facts.history.some(({ committedAt }) => committedAt !== null)) return [];
  const found: string[] = [];
  for (const request of facts.requests) {
    if (request.method !== 'DELETE') continue;
    for (const name of concernedNames(facts, request)) {
      for (const row of rowsConcerned(facts, request, name)) {
        const at = committed.get(row.id);
        // The log cuts off after the ms.
        if (!at || at.getTime() > Date.parse(request.wallTime) + 1)
          found.push(
            `${request.endpoint} at ${request.wallTime}, but ${quoted(name)} was committed as verified ` +
              (at ? `at ${at.toISOString()}` : 'never'),
          );
      }
    }
  }
  return found;
}

/** Somebody between us and the upstream has asked Postgres before each DELETE went on. */
function byTestimonies(facts: Facts): string[] {
  const { testimonies } = facts;
  if (!testimonies) return [];
  const found = testimonies.flatMap(({ path, files }) =>
    files
      .filter((file) => !file.verified)
      .map(
        ({ name, state }) => `DELETE ${path.slice(0, 80)} while ${quoted(name)} was ${state ?? 'unknown'}`,
      ),
  );
  for (const { path, files } of testimonies) {
    const id = /\/export\/(?:history|jobs)\/([^/?]+)$/.exec(path)?.[1];
    if (id === undefined) continue;
    const owned = facts.upstreamFiles.filter((file) => file.historyId === id || file.jobId === id);
    for (const file of owned)
      if (!files.some(({ name }) => name === file.name))
        found.push(`DELETE ${path} while ${quoted(file.name)} was unknown`);
  }
  const arrived = facts.requests.filter(({ method }) => method === 'DELETE').length;
  if (arrived > testimonies.length) found.push(`${arrived - testimonies.length} DELETEs had no witness`);
  return found;
}

function cleaned(facts: Facts): string[] {
  return deliveries(facts).flatMap(({ made, row, run, current }) => {
    const { delete: mode = 'files', expiring = false } = expectationOf(facts, run) ?? {};
    const name = quoted(made.name);
    if (mode === 'nothing')
      return made.deletedBy === 'client' ? [`${name} was deleted, and should have been kept`] : [];
    if (run?.state !== 'done' || !current) return [];
    if (made.deletedAt === undefined) return [`${name} is still upstream`];
    if (made.deletedBy !== 'client' && !expiring)
      return [`${name} was deleted by the ${made.deletedBy ?? 'unknown'}`];
    return row?.state === 'deleted' ? [] : [`${name} is gone, but Postgres says ${row?.state ?? 'nothing'}`];
  });
}

function oneLiveJob({ jobs, exports, requests, now, history: lines }: Facts): string[] {
  // The upstream itself lost it, perhaps before anybody could note it: only its title says that it was ours.
  const vanished = ({ id, title, deletedAt }: Facts['jobs'][number]) =>
    deletedAt !== undefined &&
    exports.some(({ marker }) => title.includes(marker)) &&
    !requests.some((request) => request.method === 'DELETE' && request.jobs.includes(id));
  // A second job that was found by our marker and cancelled is named in the history.
  const named = lines.map(({ reason }) => reason ?? '').join(' ');
  const found = jobs
    .filter(
      (job) => !exports.some((row) => row.jobId === job.id) && !named.includes(job.id) && !vanished(job),
    )
    .map(({ id, title }) => `Postgres does not know the job ${id}, "${title}"`);
  const live = new Map<string, string>();
  const inOrder = jobs
    .filter(({ title }) => ourTitle.test(title))
    .toSorted((a, b) => a.createdAt.localeCompare(b.createdAt));
  for (const { title, createdAt, endedAt, deletedAt } of inOrder) {
    const window = ourTitle.exec(title)?.[0] ?? title;
    if (createdAt < (live.get(window) ?? '')) found.push(`${window} had two live jobs at ${createdAt}`);
    live.set(window, endedAt ?? deletedAt ?? now);
  }
  return found;
}

function abandonedJobs({ jobs, exports, runs }: Facts): string[] {
  const ended = new Map(runs.filter(hasEnded).map((run) => [run.id, run.state]));
  const ours = jobs.filter(({ title }) => ourTitle.test(title));
  return ours.flatMap(({ id, endedAt, deletedAt }) => {
    const state = ended.get(exports.find(({ jobId }) => jobId === id)?.runId ?? 0);
    const live = endedAt === undefined && deletedAt === undefined;
    return live && state !== undefined ? [`the job ${id} is live, but its run is ${state}`] : [];
  });
}

function stuck({ runs, queue }: Facts): string[] {
  const queued = new Set(queue.map(({ runId }) => runId));
  return runs
    .filter((run) => !hasEnded(run) && !queued.has(run.id))
    .map(({ id, state }) => `run ${id} is ${state}, and nothing in the queue will look at it`);
}

const endedExport = new Set(['completed', 'failed', 'cancelled', 'vanished']);

function history(facts: Facts): string[] {
  const found: string[] = [];
  const states = new Map<string, string>();
  for (const { id, runId, fileId, subject, fromState, toState } of facts.history) {
    const what = subject === 'file' ? `file ${fileId ?? '?'}` : `${subject} of run ${runId}`;
    const before = states.get(what) ?? null;
    const nextAttempt = subject === 'export' && fromState === null && endedExport.has(before ?? '');
    if (fromState !== before && !nextAttempt)
      found.push(
        `line ${id} leads ${what} from ${fromState ?? 'nothing'}, but it was ${before ?? 'nothing'}`,
      );
    states.set(what, toState);
  }
  const ends = [
    ...facts.runs.map(({ id, state }) => ({ what: `run of run ${id}`, state })),
    ...facts.runs.flatMap((run) =>
      exportsOf(facts, run)
        .slice(-1)
        .map(({ state }) => ({ what: `export of run ${run.id}`, state })),
    ),
    ...facts.files.map(({ id, state }) => ({ what: `file ${id}`, state })),
  ];
  for (const { what, state } of ends)
    if (states.get(what) !== state)
      found.push(`${what} is ${state}, but its history ends with ${states.get(what) ?? 'nothing'}`);
  return found;
}
