import { runStates } from '../../drizzle/schema.ts';
import type { RunState } from '../../drizzle/schema.ts';
import { humanBytes } from '../format.ts';
import type { RunQuery, RunRow } from '../store/overview.ts';
import { html } from './html.ts';
import type { Html } from './html.ts';
import { badge, grouped, layout, relative, windowText } from './layout.ts';
import type { Frame } from './layout.ts';

/** The list of runs, newest window first, with a form to narrow it down. */
export function runsPage(
  frame: Frame,
  query: RunQuery,
  runs: readonly RunRow[],
  definitions: readonly string[],
  now: Date,
): Html {
  const last = runs.length === query.limit ? runs.at(-1) : undefined;
  return layout(
    { ...frame, now },
    {
      title: 'Runs',
      here: 'runs',
      live: true,
      content: html`<section class="card">
          <h1>Runs</h1>
          <form class="filter" action="/runs" method="get">
            <label
              >Definition
              <select name="definition">
                ${option('', 'all', query.definition ?? '')}${definitions.map((name) => option(name, name, query.definition ?? ''))}
              </select></label
            >
            <label
              >State
              <select name="state">
                ${option('', 'all', stateWord(query.states))}${option('unfinished', 'under way', stateWord(query.states))}${runStates.map((state) => option(state, state, stateWord(query.states)))}
              </select></label
            >
            <label
              >From <input type="date" name="from" value="${query.from?.toISOString().slice(0, 10)}"
            /></label>
            <label>To <input type="date" name="to" value="${query.to?.toISOString().slice(0, 10)}" /></label>
            <button type="submit">Show</button>
          </form>
        </section>
        <section id="runs" class="card" data-live aria-label="Runs">
          ${runs.length === 0 ? html`<p class="quiet">No run.</p>` : runTable(runs, now)}
          ${last && html`<p class="more"><a href="${pathOf({ ...query, after: { from: last.from, id: last.id } })}" rel="next">Older runs →</a></p>`}
        </section>`,
    },
  );
}

function option(value: string, text: string, chosen: string): Html {
  return html`<option value="${value}" ${value === chosen && html` selected`}>${text}</option>`;
}

function stateWord(states: readonly RunState[] | undefined): string {
  if (states === undefined) return '';
  return states.length === 1 ? (states[0] ?? '') : 'unfinished';
}

/** The address of a page of runs. */
function pathOf(query: RunQuery): string {
  const parameters = new URLSearchParams();
  if (query.definition !== undefined) parameters.set('definition', query.definition);
  if (query.states !== undefined) parameters.set('state', stateWord(query.states));
  if (query.from !== undefined) parameters.set('from', query.from.toISOString());
  if (query.to !== undefined) parameters.set('to', query.to.toISOString());
  if (query.after !== undefined)
    parameters.set('after', `${query.after.from.toISOString()}_${query.after.id}`);
  return `/runs?${parameters.toString()}`;
}

function runTable(runs: readonly RunRow[], now: Date): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Runs, newest window first">
    <table class="stack">
      <thead>
        <tr>
          <th scope="col">Run</th>
          <th scope="col">Definition</th>
          <th scope="col">Window</th>
          <th scope="col">State</th>
          <th scope="col" class="n">Stored</th>
          <th scope="col" class="n">Attempt</th>
          <th scope="col">Changed</th>
          <th scope="col">Why</th>
        </tr>
      </thead>
      <tbody>
        ${runs.map(
          (run) =>
            html`<tr>
              <th scope="row"><a href="/runs/${run.id}">${run.id}</a></th>
              <td data-name="Definition">${run.definition}</td>
              <td data-name="Window">${windowText(run.from, run.to)}</td>
              <td data-name="State">${badge(run.state)}</td>
              <td data-name="Stored" class="n">
                ${run.files > 0 ? `${humanBytes(run.bytes)} in ${grouped(run.files)}` : '–'}
              </td>
              <td data-name="Attempt" class="n">${run.attempt}</td>
              <td data-name="Changed">${relative(run.updatedAt, now)}</td>
              <td data-name="Why" class="why">${run.reason}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
