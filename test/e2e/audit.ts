/**
 * An auditor that shares no code with the program: judges by the upstream's own record, the bucket's bytes and
 * Postgres whether everything arrived whole, and nothing was deleted before it had.
 */
import { z } from 'zod';
import type { Expectation, ExportRow, Facts, FileRow, RunRow, StoredObject } from './facts.ts';

export type Rule = (facts: Facts) => string[];

/** What the auditor looks at, by name. Each rule answers what is wrong, in words; nothing when all is well. */
export const rules = {
  /** Each definition has one run for each window of its stretch, without gap or overlap, and every run is done. */
  windows,
  /** Each finished entry of the people's jobs that are adopted has one run, and that is done, or says that it failed. */
  entries,
  /** Jobs of people are all still there, and nobody but people has done anything to them. */
  peoplesJobs,
  /** Every file a job of ours made lies under its final key with the same bytes, and Postgres says the same. */
  files: storedFiles,
  /** Every run has a manifest that lists exactly its files. */
  manifests,
  /** Nothing else is in the bucket. */
  strays,
  /** No parts of unfinished uploads are left. */
  uploads,
  /** By the clock: the upstream got no DELETE before the files it concerns were verified. */
  deletedAfterVerified,
  /** By what was committed: no DELETE was on its way before Postgres said that the files it concerns are verified. */
  deletedAfterCommit,
  /** The upstream holds none of our files any more, and it was we who deleted them. */
  cleaned,
  /** No window had two live jobs at any time, and none was made that Postgres does not know. */
  oneLiveJob,
  /** The history leads from nothing to the present state of every run, export and file, without a jump. */
  history,
} satisfies Record<string, Rule>;

/** Applies every rule; empty when there is nothing to complain about. */
export function audit(facts: Facts): string[] {
  return Object.entries(rules).flatMap(([name, rule]) => rule(facts).map((what) => `${name}: ${what}`));
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
    if (run.state !== 'done') found.push(`run ${run.id} is ${run.state}`);
    const within = expected.some(
      ({ definition, from, to }) =>
        definition === run.definition && from <= run.windowFrom && run.windowTo <= to,
    );
    if (!within) found.push(`run ${run.id} of ${run.definition} has a window nobody asked for`);
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

/** A file that a job of ours, or one that is adopted, made, with what Postgres and the bucket have of it. */
interface Delivery {
  readonly made: Facts['upstreamFiles'][number];
  readonly run: RunRow | undefined;
  readonly row: FileRow | undefined;
  readonly key: string;
  readonly object: StoredObject | undefined;
}

/** What titles of our jobs hold for people: definition and window. */
const ourTitle = /\budm-sync (?<definition>\S+) (?<from>\S{16}Z)-(?<to>\S{16}Z)/;

function deliveries(facts: Facts): Delivery[] {
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
    const row = facts.files.find((each) => each.runId === run?.id && each.name === made.name);
    const key = `${prefixOf(facts, run)}/${row?.key ?? ''}`;
    return [{ made, run, row, key, object: facts.objects.find((each) => each.key === key) }];
  });
}

function prefixOf(facts: Facts, run: RunRow | undefined): string {
  return expectationOf(facts, run)?.prefix ?? '';
}

function expectationOf(
  { expected, adopted }: Facts,
  run: RunRow | undefined,
): Pick<Expectation, 'tenant' | 'definition' | 'prefix'> | undefined {
  return [...expected, ...adopted].find((each) => each.definition === run?.definition);
}

/** Where the files of a run have to lie, below the prefix. */
function folderOf(expectation: Pick<Expectation, 'tenant' | 'definition'>, run: RunRow): string {
  const compact = (at: Date) => at.toISOString().replaceAll(/[:-]|\.\d+/g, '');
  const day = run.windowFrom.toISOString().slice(0, 10);
  const { tenant, definition } = expectation;
  const last = run.entry ?? compact(run.windowTo);
  return `${tenant}/${definition}/dt=${day}/${compact(run.windowFrom)}_${last}`;
}

function storedFiles(facts: Facts): string[] {
  const found: string[] = [];
  for (const { made, run, row, object } of deliveries(facts)) {
    const name = JSON.stringify(made.name.slice(0, 80));
    if (!run || !row) {
      found.push(`Postgres does not know ${name}`);
      continue;
    }
    const expectation = expectationOf(facts, run);
    if (expectation && !isKeyOf(row.key, folderOf(expectation, run), made.name))
      found.push(`${name} has the key ${row.key}`);
    if (row.size !== made.size || row.crc32 !== made.crc32)
      found.push(`Postgres has ${name} with ${row.size} bytes and CRC-32 ${row.crc32}`);
    if (!object) found.push(`${name} is not in the bucket`);
    else if (object.size !== made.size || object.sha256 !== made.sha256)
      found.push(`${object.key} holds other bytes than the upstream made`);
  }
  for (const { title } of facts.jobs)
    if (!ourTitle.test(title) && !adopterOf(facts, title))
      found.push(`the job ${JSON.stringify(title)} is nobody's`);
  const keys = facts.files.map((row) => row.key);
  if (new Set(keys).size < keys.length) found.push('two files have one key');
  return found;
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
  return expectation ? `${expectation.prefix}/${folderOf(expectation, run)}/_manifest.json` : '';
}

function manifests(facts: Facts): string[] {
  const delivered = deliveries(facts);
  // An entry that came to nothing has nothing to list.
  const stored = facts.runs.filter(({ entry, state }) => entry === null || state === 'done');
  return stored.flatMap((run) => {
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
    const prefix = `${prefixOf(facts, run)}/`;
    if (
      !sameSet(
        data.files.map(({ key }) => prefix + key),
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
  const known = new Set([
    ...deliveries(facts).map(({ key }) => key),
    ...facts.runs.map((run) => manifestKey(facts, run)),
  ]);
  return facts.objects.filter(({ key }) => !known.has(key)).map(({ key }) => `${key} belongs to nothing`);
}

function uploads({ unfinishedUploads = [] }: Facts): string[] {
  return unfinishedUploads.map((key) => `an unfinished upload of ${key} is left`);
}

function deletedAfterVerified(facts: Facts): string[] {
  const found: string[] = [];
  for (const request of facts.requests) {
    if (request.method !== 'DELETE') continue;
    const names = new Set([...request.deletedFiles, ...filesAskedFor(facts, request)]);
    for (const name of names) {
      for (const row of facts.files.filter((each) => each.name === name)) {
        // Postgres rounds to the next ms, the log cuts off.
        if (!row.verifiedAt || row.verifiedAt.getTime() > Date.parse(request.wallTime) + 1)
          found.push(
            `${request.endpoint} at ${request.wallTime} before ${JSON.stringify(name.slice(0, 80))} was verified`,
          );
      }
      if (!facts.files.some((row) => row.name === name))
        found.push(
          `${request.endpoint} for ${JSON.stringify(name.slice(0, 80))}, which Postgres does not know`,
        );
    }
  }
  return found;
}

/** The names of the files a DELETE concerns, whether it succeeded or not. */
function filesAskedFor(facts: Facts, { path, query, endpoint }: Facts['requests'][number]): string[] {
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
  const found = facts.deletes.flatMap(({ path, files }) =>
    files
      .filter((file) => !file.verified)
      .map(
        ({ name, state }) =>
          `DELETE ${path.slice(0, 80)} while ${JSON.stringify(name.slice(0, 80))} was ${state ?? 'unknown'}`,
      ),
  );
  for (const { path, files } of facts.deletes) {
    const id = /\/export\/(?:history|jobs)\/([^/?]+)$/.exec(path)?.[1];
    if (id === undefined) continue;
    const owned = facts.upstreamFiles.filter((file) => file.historyId === id || file.jobId === id);
    for (const file of owned)
      if (!files.some(({ name }) => name === file.name))
        found.push(`DELETE ${path} while ${JSON.stringify(file.name.slice(0, 80))} was unknown`);
  }
  const arrived = facts.requests.filter(({ method }) => method === 'DELETE').length;
  if (arrived > facts.deletes.length) found.push(`${arrived - facts.deletes.length} DELETEs had no witness`);
  return found;
}

function cleaned(facts: Facts): string[] {
  return deliveries(facts).flatMap(({ made, row }) => {
    const name = JSON.stringify(made.name.slice(0, 80));
    if (made.deletedAt === undefined) return [`${name} is still upstream`];
    if (made.deletedBy !== 'client') return [`${name} was deleted by the ${made.deletedBy ?? 'unknown'}`];
    return row?.state === 'deleted' ? [] : [`${name} is gone, but Postgres says ${row?.state ?? 'nothing'}`];
  });
}

function oneLiveJob({ jobs, exports, now }: Facts): string[] {
  const found = jobs
    .filter((job) => !exports.some((row) => row.jobId === job.id))
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
