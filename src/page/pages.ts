import { z } from 'zod';
import { runStates } from '../../drizzle/schema.ts';
import { readStandings } from '../jobs/standing.ts';
import { databaseNow } from '../store/database.ts';
import { runsPage as readRuns } from '../store/overview.ts';
import type { RunQuery } from '../store/overview.ts';
import { exportsOfRun, fileTotals, filesOfRunAfter, historyOfRunAfter } from '../store/run-detail.ts';
import { findRun, unfinishedStates } from '../store/runs.ts';
import { definitionStatuses } from '../store/status.ts';
import { monthNamed, monthOf } from './calendar.ts';
import { definitionPage } from './definition-page.ts';
import type { Frame } from './layout.ts';
import { overviewPage } from './overview-page.ts';
import { readHits } from './read-hits.ts';
import { readDefinitions, readOverview, snapshot } from './read-overview.ts';
import { pageLength, runPage } from './run-page.ts';
import type { Done } from './run-page.ts';
import { runsPage } from './runs-page.ts';
import { searchPage } from './search-page.ts';
import { badRequest, notFound, page } from './site.ts';
import type { Answer, Site } from './site.ts';

const runsOnPage = 100;
const monthHint = 'month must be a month such as 2026-11.';

/** `/`: everything at a glance. */
export async function showOverview(site: Site, frame: Frame, query: URLSearchParams): Promise<Answer> {
  const named = query.get('month');
  const month = named === null ? undefined : monthNamed(named);
  if (named !== null && !month) return badRequest(frame, monthHint);
  const nowMs = performance.now();
  const overview = await site.overviews.get(named ?? '', nowMs, () =>
    snapshot(site.db, (tx) =>
      readOverview(tx, site.pipeline.config, month, (inner) => site.charts.read(inner, nowMs)),
    ),
  );
  for (const { fileId, stored, who } of overview.transfers)
    // What this process transfers it knows better.
    if (stored !== null && who !== site.pipeline.who) site.meter.note(fileId, stored, nowMs);
  return page(overviewPage(frame, overview, site.meter, nowMs));
}

/** `/definitions/<name>`: one definition, a month of it. */
export async function showDefinition(
  site: Site,
  frame: Frame,
  name: string,
  query: URLSearchParams,
): Promise<Answer> {
  const configured = Object.values(site.pipeline.config.definitions);
  const named = query.get('month');
  const asked = named === null ? undefined : monthNamed(named);
  if (named !== null && !asked) return badRequest(frame, monthHint);
  const found = await snapshot(site.db, async (tx) => {
    const now = await databaseNow(tx);
    const standing = (await readStandings(tx, configured, now)).find(({ definition }) => definition === name);
    const month = asked ?? monthNamed(monthOf(now));
    if (!standing || !month) return undefined;
    const [row] = await readDefinitions(tx, configured, [standing], month, now);
    return row && { row, month, now };
  });
  if (!found)
    return notFound(frame, `There is no definition “${name}”, neither in the config nor among the runs.`);
  const definition = configured.find((known) => known.name === name);
  return page(definitionPage(frame, found.row, definition, found.month, found.now));
}

const day = z.iso.date().transform((text) => new Date(`${text}T00:00:00Z`));
const moment = z.union([day, z.iso.datetime().transform((text) => new Date(text))]);
const optional = <T extends z.ZodType>(field: T) =>
  z.preprocess((value) => (value === null || value === '' ? undefined : value), field.optional());

const runsQuery = z.object({
  definition: optional(z.string().max(200)),
  state: optional(
    z.enum([...runStates, 'unfinished'], {
      error: `state must be unfinished or one of ${runStates.join(', ')}.`,
    }),
  ),
  from: optional(moment),
  to: optional(moment),
  after: optional(
    z.string().transform((text, context) => {
      const [, at = '', id = ''] = /^(\d{4}-\d\d-\d\dT[\d:.]{8,12}Z)_(\d{1,15})$/.exec(text) ?? [];
      const from = new Date(at);
      if (!Number.isNaN(from.getTime())) return { from, id: Number(id) };
      context.addIssue('must be what a page of runs links to.');
      return z.NEVER;
    }),
  ),
});

/** `/runs`: the list, narrowed down. */
export async function showRuns(site: Site, frame: Frame, query: URLSearchParams): Promise<Answer> {
  const asked = Object.fromEntries(
    Object.keys(runsQuery.shape).map((name) => [name, query.get(name)] as const),
  );
  const parsed = runsQuery.safeParse(asked);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return badRequest(frame, `${issue?.path.join('.') ?? 'The query'}: ${issue?.message ?? 'is wrong'}`);
  }
  const { state, ...rest } = parsed.data;
  const states = state === undefined ? undefined : state === 'unfinished' ? unfinishedStates : [state];
  const wanted: RunQuery = { ...rest, states, limit: runsOnPage };
  const found = await snapshot(site.db, async (tx) => ({
    now: await databaseNow(tx),
    runs: await readRuns(tx, wanted),
    known: await definitionStatuses(tx),
  }));
  const names = new Set([
    ...Object.keys(site.pipeline.config.definitions),
    ...found.known.map(({ definition }) => definition),
  ]);
  return page(runsPage(frame, wanted, found.runs, [...names], found.now));
}

/** `/runs/<id>`: everything that happened to one run. */
export async function showRun(
  site: Site,
  frame: Frame,
  id: number,
  query: URLSearchParams,
  outcome?: Done,
): Promise<Answer> {
  const after = { file: idIn(query.get('files')), line: idIn(query.get('lines')) };
  const detail = await snapshot(site.db, async (tx) => {
    const run = await findRun(tx, id);
    return (
      run && {
        now: await databaseNow(tx),
        run,
        exports: await exportsOfRun(tx, id),
        totals: await fileTotals(tx, id),
        files: await filesOfRunAfter(tx, id, after.file, pageLength),
        lines: await historyOfRunAfter(tx, id, after.line, pageLength),
        after,
      }
    );
  });
  if (!detail) return notFound(frame, `There is no run ${id}.`);
  return page(runPage(frame, detail, outcome ?? told.get(query.get('did') ?? '')), outcome ? 409 : 200);
}

const told: ReadonlyMap<string, Done> = new Map([
  ['retry', { good: true, text: 'Retried: a worker takes it from here.' }],
  ['cancel', { good: true, text: 'Cancelled, or to be cancelled as soon as the upstream job has ended.' }],
]);

function idIn(text: string | null): number {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : 0;
}

/** `/search`: files, jobs, runs and definitions. */
export async function showHits(site: Site, frame: Frame, query: URLSearchParams): Promise<Answer> {
  // Postgres has no NUL, and no name is that long.
  const text = (query.get('q') ?? '').replaceAll('\0', '').trim().slice(0, 300);
  const configured = Object.keys(site.pipeline.config.definitions);
  const hits = text === '' ? undefined : await readHits(site.db, configured, text);
  return page(searchPage(frame, text, hits));
}
