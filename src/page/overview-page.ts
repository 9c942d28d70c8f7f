import { counted, humanBytes, humanDuration } from '../format.ts';
import { verdictOf } from '../jobs/standing.ts';
import type { ExportUnderWay, RunRow, TransferUnderWay } from '../store/overview.ts';
import { dayMs, monthOf } from './calendar.ts';
import { activityChart, expiryChart } from './charts.ts';
import { html } from './html.ts';
import type { Html, Part } from './html.ts';
import { badge, definitionPath, grouped, layout, legend, relative, windowText } from './layout.ts';
import type { Frame } from './layout.ts';
import type { Meter } from './meter.ts';
import type { DefinitionRow, Overview } from './read-overview.ts';
import { shown } from './read-overview.ts';
import { strip } from './strip.ts';

/** The first page: is my data safe? What is missing, under way, at risk, and how fast it goes. */
export function overviewPage(frame: Frame, overview: Overview, meter: Meter, nowMs: number): Html {
  const { now } = overview;
  return layout(
    { ...frame, now },
    {
      title: 'Overview',
      here: 'overview',
      live: true,
      content: [
        verdict(overview),
        attention(overview),
        definitions(overview),
        html`<div class="columns">${exports(overview)}${transfers(overview, meter, nowMs)}</div>`,
        html`<div class="columns">${expiry(overview)}${activityCharts(overview)}</div>`,
      ],
    },
  );
}

const icons: Readonly<Record<string, string>> = {
  safe: '✓',
  'under-way': '✓',
  idle: '–',
  'at-risk': '!',
  lost: '✕',
};

function verdict({ definitions, files, levels, now }: Overview): Html {
  const { word, sentence } = verdictOf(definitions, files, levels);
  const sum = (pick: (row: DefinitionRow) => number) => definitions.reduce((n, row) => n + pick(row), 0);
  const figure = (n: number, name: string, tone: string) =>
    html`<div>
      <dt>${name}</dt>
      <dd class="${n > 0 ? tone : 'quiet'}">${grouped(n)}</dd>
    </div>`;
  const soonMs = files.soonest ? files.soonest.getTime() - now.getTime() : undefined;
  return html`<section id="verdict" class="verdict ${word}" data-live aria-labelledby="answer">
    <div class="answer">
      <span class="icon" aria-hidden="true">${icons[word]}</span>
      <h1 id="answer">${sentence}</h1>
    </div>
    <dl class="figures">
      ${figure(
        sum((d) => d.done),
        'windows done',
        'good',
      )}
      ${figure(
        sum((d) => d.unfinished),
        'under way',
        'busy',
      )}
      ${figure(
        sum((d) => d.missing),
        'not planned',
        'warn',
      )}
      ${figure(
        sum((d) => d.failed),
        'failed',
        'bad',
      )}
      ${figure(files.waiting, 'files waiting', 'busy')} ${figure(files.dead, 'files dead', 'bad')}
      ${figure(files.lost, 'files lost', 'bad')}
      <div>
        <dt>first deadline</dt>
        <dd
          class="${soonMs === undefined ? 'quiet' : soonMs < 3 * dayMs ? 'bad' : soonMs < 7 * dayMs ? 'warn' : ''}"
        >
          ${soonMs === undefined ? '–' : soonMs > 0 ? humanDuration(soonMs) : 'overdue'}
        </dd>
      </div>
    </dl>
  </section>`;
}

function attention({ failed, struggling, now }: Overview): Html {
  const runs = [...failed, ...struggling];
  const some = (list: readonly RunRow[], words: string) =>
    list.length > 0 && `${list.length === shown.runs ? `${list.length} or more` : list.length} ${words}`;
  const told = [
    some(failed, 'failed: somebody must look and retry'),
    some(struggling, 'waiting for their surroundings: tried again until it works'),
  ];
  return html`<section
    id="attention"
    data-live
    aria-label="Needs attention"
    class="card${runs.length === 0 && ' empty'}"
  >
    ${
      runs.length > 0 &&
      html`<h2>Needs a look <small>${told.filter((part) => part !== false).join(' · ')}</small></h2>
        <div class="scroll" tabindex="0" role="region" aria-label="Runs that need a look">
          <table class="stack">
            <thead>
              <tr>
                <th scope="col">Run</th>
                <th scope="col">Window</th>
                <th scope="col">State</th>
                <th scope="col">Why</th>
                <th scope="col">Since</th>
              </tr>
            </thead>
            <tbody>
              ${runs.map(
                (run) =>
                  html`<tr>
                    <th scope="row"><a href="/runs/${run.id}">${run.definition} #${run.id}</a></th>
                    <td data-name="Window">${windowText(run.from, run.to)}</td>
                    <td data-name="State">${badge(run.state)}</td>
                    <td data-name="Why" class="why">${run.reason}</td>
                    <td data-name="Since">${relative(run.updatedAt, now)}</td>
                  </tr>`,
              )}
            </tbody>
          </table>
        </div>
        ${failed.length === shown.runs && html`<p class="more"><a href="/runs?state=failed">All failed runs</a></p>`}`
    }
  </section>`;
}

function definitions({ definitions: rows, view, now }: Overview): Html {
  const earlier = monthOf(new Date(view.from.getTime() - 1));
  const later = monthOf(view.to);
  const recent = view.to > now;
  return html`<section id="definitions" class="card" data-live aria-labelledby="definitions-title">
    <div class="head">
      <h2 id="definitions-title">Definitions</h2>
      ${legend()}
      <nav class="pager" aria-label="Stretch of time">
        <a href="/?month=${earlier}" rel="prev">← earlier</a
        ><span
          >${view.from.toISOString().slice(0, 10)} –
          ${new Date(view.to.getTime() - 1).toISOString().slice(0, 10)}</span
        >${recent ? html`<span class="quiet">today</span>` : [html`<a href="/?month=${later}" rel="next">later →</a>`, html`<a href="/">today</a>`]}
      </nav>
    </div>
    ${rows.length === 0 && html`<p class="quiet">The config has no definition, and the database no run.</p>`}
    <ul class="definitions">
      ${rows.map((row) => definition(row, view, now))}
    </ul>
    <div class="axis strips" aria-hidden="true">
      ${[0, 0.5, 1].map((part) => html`<span>${new Date(view.from.getTime() + part * (view.to.getTime() - dayMs - view.from.getTime())).toISOString().slice(5, 10)}</span>`)}
    </div>
  </section>`;
}

function definition(row: DefinitionRow, view: Overview['view'], now: Date): Html {
  const path = definitionPath(row.definition);
  const part = (n: number, word: string, tone: string) =>
    n > 0 && html`<span class="${tone}"><b>${grouped(n)}</b> ${word}</span>`;
  return html`<li>
    <div class="about">
      <h3><a href="${path}">${row.definition}</a></h3>
      <p class="quiet">${row.configured ? html`${row.tenant} → ${row.sink}` : 'not in the config'}</p>
    </div>
    <a class="plain" href="${path}" tabindex="-1">${strip(row.definition, view, row.lengthMs, row.spans)}</a>
    <dl class="facts">
      <div>
        <dt>Last success</dt>
        <dd>${row.lastDoneAt ? relative(row.lastDoneAt, now) : html`<span class="quiet">never</span>`}</dd>
      </div>
      <div>
        <dt>Next run</dt>
        <dd>
          ${row.nextTickAt ? relative(row.nextTickAt, now) : html`<span class="quiet">no schedule</span>`}
        </dd>
      </div>
      <div>
        <dt>Done until</dt>
        <dd>
          ${row.doneUntil ? html`<time datetime="${row.doneUntil.toISOString()}">${row.doneUntil.toISOString().slice(0, 16).replace('T', ' ')}</time>` : html`<span class="quiet">–</span>`}
        </dd>
      </div>
    </dl>
    <p class="counts">
      ${part(row.done, 'done', 'quiet')}${part(row.unfinished, 'under way', 'busy')}${part(row.missing, 'missing', 'warn')}${part(row.failed, 'failed', 'bad')}${part(row.cancelled, 'cancelled', 'quiet')}
    </p>
  </li>`;
}

function exports({ exports: rows, now }: Overview): Html {
  return html`<section id="exports" class="card" data-live aria-labelledby="exports-title">
    <h2 id="exports-title">
      Exports
      <small
        >${rows.length === shown.exports ? `the oldest ${rows.length}` : counted(rows.length, 'job')} alive
        upstream</small
      >
    </h2>
    ${rows.length === 0 && html`<p class="quiet">None.</p>`}
    <ul class="work">
      ${rows.map((row) => exportRow(row, now))}
    </ul>
  </section>`;
}

function exportRow(row: ExportUnderWay, now: Date): Html {
  const label = `${row.definition} #${row.runId}`;
  return html`<li>
    <div class="line">
      <a href="/runs/${row.runId}">${label}</a>${windowText(row.from, row.to)}${badge(row.runState)}
    </div>
    ${
      row.progress === null
        ? html`<progress aria-label="${label}: progress is not known"></progress>`
        : html`<progress max="100" value="${row.progress}" aria-label="${label}">${row.progress} %</progress>`
    }
    <p class="note">
      ${[
        row.progress === null ? 'progress not told' : `${row.progress} %`,
        row.statusWord === null ? undefined : `“${row.statusWord}”`,
        row.attempt > 1 ? `attempt ${row.attempt}` : undefined,
      ]
        .filter((text) => text !== undefined)
        .join(' · ')}
      · begun
      ${relative(row.since, now)}${row.lastPolledAt && html` · looked at ${relative(row.lastPolledAt, now)}`}
    </p>
    ${row.reason !== null && html`<p class="why">${row.reason}</p>`}
  </li>`;
}

interface Flow {
  readonly row: TransferUnderWay;
  readonly bytes: number | undefined;
  readonly total: number | undefined;
  readonly rate: number | undefined;
}

function flowOf(row: TransferUnderWay, meter: Meter, nowMs: number, now: Date): Flow {
  const bytes = meter.bytes(row.fileId) ?? row.stored ?? undefined;
  const sinceBegun = row.begunAt ? (now.getTime() - row.begunAt.getTime()) / 1000 : 0;
  const average = row.stored !== null && sinceBegun > 1 ? row.stored / sinceBegun : undefined;
  return {
    row,
    bytes,
    total: row.length ?? row.announcedSize ?? undefined,
    // Until it was watched for a while: the average since the upload began.
    rate: meter.rate(row.fileId, nowMs, average === undefined ? undefined : 8000) ?? average,
  };
}

function transfers({ transfers: rows, queue, now }: Overview, meter: Meter, nowMs: number): Html {
  const flows = rows.map((row) => flowOf(row, meter, nowMs, now));
  const rate = flows.reduce((sum, flow) => sum + (flow.rate ?? 0), 0);
  const left = flows.reduce((sum, { total, bytes }) => sum + Math.max((total ?? 0) - (bytes ?? 0), 0), 0);
  const eta = rate > 0 ? ((left + queue.waitingBytes) / rate) * 1000 : undefined;
  const told = [
    `${grouped(queue.transferring)} under way`,
    `${grouped(queue.waiting)} waiting (${humanBytes(queue.waitingBytes)})`,
    ...(rate > 0 ? [`${humanBytes(rate)}/s`] : []),
    ...(eta === undefined ? [] : [`about ${humanDuration(eta)} left`]),
  ];
  return html`<section id="transfers" class="card" data-live aria-labelledby="transfers-title">
    <h2 id="transfers-title">Transfers <small>${told.join(' · ')}</small></h2>
    ${rows.length === 0 && html`<p class="quiet">None.</p>`}
    <ul class="work">
      ${flows.map((flow) => transferRow(flow, now))}
    </ul>
    ${queue.transferring > rows.length && html`<p class="more">… and ${grouped(queue.transferring - rows.length)} more.</p>`}
  </section>`;
}

function transferRow({ row, bytes, total, rate }: Flow, now: Date): Html {
  const known = bytes !== undefined && total !== undefined && total > 0;
  const share = known ? Math.min(bytes / total, 1) : undefined;
  const eta =
    known && rate !== undefined && rate > 0 ? (Math.max(total - bytes, 0) / rate) * 1000 : undefined;
  const told: Part[] = [
    share !== undefined && `${Math.floor(share * 100)} %`,
    bytes === undefined
      ? total !== undefined && `${humanBytes(total)}, progress known to its worker alone`
      : total === undefined
        ? humanBytes(bytes)
        : `${humanBytes(bytes)} of ${humanBytes(total)}`,
    rate !== undefined && `${humanBytes(rate)}/s`,
    eta !== undefined && `${humanDuration(eta)} left`,
    html`begun ${relative(row.startedAt, now)}`,
  ];
  return html`<li>
    <div class="line"><a href="/runs/${row.runId}" class="file" title="${row.name}">${row.name}</a></div>
    ${
      share === undefined
        ? html`<progress aria-label="${row.name}: progress is not known"></progress>`
        : html`<progress max="1000" value="${Math.floor(share * 1000)}" aria-label="${row.name}">
            ${Math.floor(share * 100)} %
          </progress>`
    }
    <p class="note">${told.filter((part) => part !== false).map((part, at) => [at > 0 && ' · ', part])}</p>
    <p class="note">${row.definition} #${row.runId} · by <code>${row.who ?? 'an unknown worker'}</code></p>
  </li>`;
}

function expiry({ expiry: list, expiring, files, now }: Overview): Html {
  const open = list.reduce((sum, row) => sum + row.files, 0);
  return html`<section id="expiry" class="card" data-live aria-labelledby="expiry-title">
    <h2 id="expiry-title">
      Upstream and not yet safe <small>by days left until the vendor deletes them</small>
    </h2>
    ${
      open === 0
        ? html`<p class="quiet">
            No file waits.${files.lost > 0 && ` ${counted(files.lost, 'file')} lost.`}
          </p>`
        : [
            expiryChart(list),
            html`<div class="scroll" tabindex="0" role="region" aria-label="Files that are deleted first">
              <table class="stack">
                <thead>
                  <tr>
                    <th scope="col">File</th>
                    <th scope="col">State</th>
                    <th scope="col" class="n">Size</th>
                    <th scope="col">Deleted</th>
                  </tr>
                </thead>
                <tbody>
                  ${expiring.map(
                    (file) =>
                      html`<tr>
                        <th scope="row">
                          <a class="file" href="/runs/${file.runId}" title="${file.name}">${file.name}</a>
                        </th>
                        <td data-name="State">${badge(file.state)}</td>
                        <td data-name="Size" class="n">
                          ${file.bytes === null ? '?' : humanBytes(file.bytes)}
                        </td>
                        <td
                          data-name="Deleted"
                          class="${file.expiresAt.getTime() - now.getTime() < 3 * dayMs ? 'bad' : ''}"
                        >
                          ${relative(file.expiresAt, now)}
                        </td>
                      </tr>`,
                  )}
                </tbody>
              </table>
            </div>`,
          ]
    }
  </section>`;
}

function activityCharts({ charts }: Overview): Html {
  return html`<section id="activity" class="card" data-live aria-labelledby="activity-title">
    <h2 id="activity-title">Throughput and errors</h2>
    ${activityChart('activity-day', 'Last 24 hours', 'hour', charts.day)}
    ${activityChart('activity-month', 'Last 30 days', 'day', charts.month)}
  </section>`;
}
