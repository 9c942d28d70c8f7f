import type { DefinitionConfig } from '../config/config.ts';
import { humanDuration } from '../format.ts';
import type { Window } from '../jobs/windows.ts';
import { dayMs, kindWords, monthOf, slotsOf, tally } from './calendar.ts';
import type { Slot, Span } from './calendar.ts';
import { html } from './html.ts';
import type { Html, Part } from './html.ts';
import { definitionPath, grouped, layout, legend, relative, windowText } from './layout.ts';
import type { Frame } from './layout.ts';
import type { DefinitionRow } from './read-overview.ts';

/** A cell of the calendar is at least this long: a day never has more than 96. */
const shortestCellMs = 15 * 60_000;
/** Windows that need a look, listed by name at most. */
const listed = 100;

/** One definition: how it stands, a month of its windows, and those that are not done. */
export function definitionPage(
  frame: Frame,
  row: DefinitionRow,
  definition: DefinitionConfig | undefined,
  month: Window,
  now: Date,
): Html {
  const path = definitionPath(row.definition);
  const open = joined(row.spans.filter((span) => span.kind !== 'done'));
  return layout(
    { ...frame, now },
    {
      title: row.definition,
      live: true,
      content: html`<section id="definition" class="card" data-live>
          <h1>${row.definition}</h1>
          <dl class="facts wide">
            ${fact('Tenant', row.tenant ?? '–')}${fact('Sink', row.sink ?? '–')}
            ${definition && fact('Exports', `${definition.source} / ${definition.type}`)}
            ${definition && fact('Windows', `${humanDuration(definition.windows.lengthMs)}, complete ${humanDuration(definition.windows.lagMs)} after their end`)}
            ${definition && fact('Schedule', definition.schedule ? `${definition.schedule.cron} (${definition.schedule.timeZone})` : 'none')}
            ${fact('Last success', row.lastDoneAt ? relative(row.lastDoneAt, now) : 'never')}
            ${fact('Next run', row.nextTickAt ? relative(row.nextTickAt, now) : 'no schedule')}
            ${fact('All time', `${grouped(row.done)} done, ${grouped(row.unfinished)} under way, ${grouped(row.missing)} not planned, ${grouped(row.failed)} failed, ${grouped(row.cancelled)} cancelled`)}
          </dl>
          ${!row.configured && html`<p class="warn">The config no longer has this definition.</p>`}
        </section>
        <section id="calendar" class="card" data-live aria-labelledby="calendar-title">
          <div class="head">
            <h2 id="calendar-title">${monthOf(month.from)} <small>${tally(row.spans)}</small></h2>
            ${legend()}
            <nav class="pager" aria-label="Month">
              <a href="${path}?month=${monthOf(new Date(month.from.getTime() - 1))}" rel="prev">← earlier</a
              >${month.to < now && html`<a href="${path}?month=${monthOf(month.to)}" rel="next">later →</a>`}
            </nav>
          </div>
          ${row.lengthMs < dayMs ? dayRows(row, month, now) : weekRows(row, month, now)}
          <p class="more">
            <a href="/runs?definition=${encodeURIComponent(row.definition)}">All runs of this definition</a>
          </p>
        </section>
        <section id="open" class="card" data-live aria-labelledby="open-title">
          <h2 id="open-title">
            Not done in this month
            <small>${open.length > listed ? `the first ${listed} of ${grouped(open.length)}` : ''}</small>
          </h2>
          ${
            open.length === 0
              ? html`<p class="quiet">Every window that is due is done.</p>`
              : html`<ul class="plainlist">
                  ${open
                    .slice(0, listed)
                    .map(
                      (span) =>
                        html`<li>
                          <i class="swatch ${span.kind}"></i>${windowText(span.from, span.to)}
                          ${
                            span.run === undefined
                              ? html`<span class="warn"
                                  >${span.windows > 1 && `${grouped(span.windows)} windows `}missing: due, but
                                  no run has ${span.windows > 1 ? 'them' : 'it'}</span
                                >`
                              : html`<a href="/runs/${span.run}">run ${span.run}</a>
                                  <span>${span.state}</span>`
                          }
                        </li>`,
                    )}
                </ul>`
          }
        </section>`,
    },
  );
}

/** The same, with windows that are missing one after another as one. */
function joined(spans: readonly Span[]): (Span & { readonly windows: number })[] {
  const rows: (Span & { readonly windows: number })[] = [];
  for (const span of spans) {
    const last = rows.at(-1);
    if (span.kind === 'missing' && last?.kind === 'missing' && last.to.getTime() === span.from.getTime())
      rows[rows.length - 1] = { ...last, to: span.to, windows: last.windows + 1 };
    else rows.push({ ...span, windows: 1 });
  }
  return rows;
}

function fact(name: string, value: Part): Html {
  return html`<div>
    <dt>${name}</dt>
    <dd>${value}</dd>
  </div>`;
}

/** Windows shorter than a day: a row for each day, a column for each stretch of it. */
function dayRows(row: DefinitionRow, month: Window, now: Date): Html {
  const cellMs = Math.max(row.lengthMs, shortestCellMs);
  const perDay = dayMs / cellMs;
  const slots = slotsOf(month, cellMs, row.spans);
  const days = Math.ceil(slots.length / perDay);
  const marks = [0, 6, 12, 18].map(
    (hour) => html`<th scope="colgroup" colspan="${perDay / 4}">${String(hour).padStart(2, '0')}:00</th>`,
  );
  const rows = Array.from({ length: days }, (_, day) => {
    const cells = slots.slice(day * perDay, (day + 1) * perDay);
    const first = cells.findIndex((slot) => slot.spans.length > 0);
    const from = new Date(month.from.getTime() + day * dayMs);
    if (from > now && first < 0) return undefined;
    return html`<tr>
      <th scope="row">${from.toISOString().slice(5, 10)}</th>
      ${cells.map((slot, at) => html`<td>${cell(row, slot, at === first)}</td>`)}
    </tr>`;
  });
  const drawn = perDay % 4 === 0;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Calendar of windows">
    <table class="calendar days${perDay > 24 && ' fine'}">
      <thead>
        <tr>
          <th scope="col">Day</th>
          ${drawn ? marks : html`<td colspan="${perDay}"></td>`}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;
}

const monday = 4 * dayMs;

/** Windows of whole days: a row for each week. */
function weekRows(row: DefinitionRow, month: Window, now: Date): Html {
  const weekMs = 7 * dayMs;
  const begin = Math.floor((month.from.getTime() - monday) / weekMs) * weekMs + monday;
  const weeks = Math.ceil((month.to.getTime() - begin) / weekMs);
  const view = { from: new Date(begin), to: new Date(begin + weeks * weekMs) };
  const slots = slotsOf(view, dayMs, row.spans);
  const names = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Calendar of windows">
    <table class="calendar weeks">
      <thead>
        <tr>
          <th scope="col">Week of</th>
          ${names.map((name) => html`<th scope="col">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${Array.from({ length: weeks }, (_, week) => {
          const cells = slots.slice(week * 7, week * 7 + 7);
          const first = cells.findIndex((slot) => slot.spans.length > 0);
          const from = cells[0]?.from ?? view.from;
          if (from > now && first < 0) return undefined;
          return html`<tr>
            <th scope="row">${from.toISOString().slice(5, 10)}</th>
            ${cells.map((slot, at) => html`<td class="${slot.from < month.from || slot.from >= month.to ? 'outside' : ''}">${cell(row, slot, at === first)}</td>`)}
          </tr>`;
        })}
      </tbody>
    </table>
  </div>`;
}

/** One cell: a link to its run, or to the runs of its stretch. The first of a row takes the focus; arrow keys go on. */
function cell(row: DefinitionRow, slot: Slot, first: boolean): Part {
  const [span] = slot.spans;
  if (!span || slot.kind === undefined) return html`<span class="cell none"></span>`;
  const label =
    slot.spans.length === 1 ? spanLabel(span) : `${time(slot.from)} – ${time(slot.to)}: ${tally(slot.spans)}`;
  if (slot.spans.every(({ run }) => run === undefined))
    return html`<span class="cell missing" role="img" aria-label="${label}" title="${label}"></span>`;
  const to =
    slot.spans.length === 1 && span.run !== undefined
      ? `/runs/${span.run}`
      : `/runs?definition=${encodeURIComponent(row.definition)}&from=${slot.from.toISOString()}&to=${slot.to.toISOString()}`;
  return html`<a
    class="cell ${slot.kind}"
    href="${to}"
    aria-label="${label}"
    title="${label}"
    tabindex="${first ? 0 : -1}"
  ></a>`;
}

function time(at: Date): string {
  return at.toISOString().slice(0, 16).replace('T', ' ');
}

function spanLabel(span: Span): string {
  return `${time(span.from)} – ${time(span.to)}: ${kindWords[span.kind]}${span.run === undefined ? '' : `, run ${span.run}`}`;
}
