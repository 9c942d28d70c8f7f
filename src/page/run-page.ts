import type { FileState } from '../../drizzle/schema.ts';
import { humanBytes } from '../format.ts';
import type { Export } from '../store/exports.ts';
import type { File } from '../store/files.ts';
import type { HistoryEntry } from '../store/run-detail.ts';
import type { Run } from '../store/runs.ts';
import { html } from './html.ts';
import type { Html, Part } from './html.ts';
import {
  badge,
  definitionPath,
  formToken,
  grouped,
  instant,
  layout,
  relative,
  windowText,
} from './layout.ts';
import type { Frame } from './layout.ts';

/** Files and lines of history on one page. */
export const pageLength = 500;

/** Everything known of a run, a page of its files and of its history. */
export interface RunDetail {
  readonly now: Date;
  readonly run: Run;
  readonly exports: readonly Export[];
  readonly totals: readonly { readonly state: FileState; readonly files: number; readonly bytes: number }[];
  readonly files: readonly File[];
  readonly lines: readonly HistoryEntry[];
  /** Where these pages began: ids of a file and of a line. */
  readonly after: { readonly file: number; readonly line: number };
}

/** What an operator asked for a moment ago, and what came of it. */
export interface Done {
  readonly good: boolean;
  readonly text: string;
}

/** A run's own page: where it stands, its upstream jobs, its files, its whole history. */
export function runPage(frame: Frame, detail: RunDetail, done: Done | undefined): Html {
  const { run, now } = detail;
  return layout(
    { ...frame, now },
    {
      title: `Run ${run.id}`,
      here: 'runs',
      live: true,
      content: html`${done && html`<p class="done ${done.good ? 'good' : 'bad'}" role="status">${done.text}</p>`}
        <section id="run" class="card" data-live>
          <h1>Run ${run.id} ${badge(run.state)}</h1>
          <dl class="facts wide">
            ${fact('Definition', html`<a href="${definitionPath(run.definition)}">${run.definition}</a>`)}
            ${fact('Window', windowText(run.windowFrom, run.windowTo))}
            ${fact('Tenant', run.tenant)}${fact('Sink', run.sinkUri ?? run.sink)}
            ${fact('Planned by', run.origin)}${fact('Attempt', run.attempt)}
            ${fact('Planned', relative(run.createdAt, now))}${fact('Changed', relative(run.updatedAt, now))}
            ${run.finishedAt && fact('Finished', relative(run.finishedAt, now))}
            ${run.nextStepAt && fact('Looked at next', relative(run.nextStepAt, now))}
            ${run.manifestKey !== null && fact('Manifest', html`<code>${run.manifestKey}</code>`)}
          </dl>
          ${run.reason !== null && html`<p class="why">${run.reason}</p>`}
          ${run.cancelRequestedAt && run.state !== 'cancelled' && html`<p class="warn">To be cancelled, asked ${relative(run.cancelRequestedAt, now)}: a worker cancels the upstream job and waits for its end.</p>`}
          ${actions(frame, run)}
        </section>
        ${exportsOf(detail)}${filesOf(detail)}${historyOf(detail)}`,
    },
  );
}

function fact(name: string, value: Part): Html {
  return html`<div>
    <dt>${name}</dt>
    <dd>${value}</dd>
  </div>`;
}

function actions({ visitor }: Frame, run: Run): Part {
  if (visitor.may !== 'act') return undefined;
  const canRetry = run.state === 'failed' || run.state === 'cancelled';
  const canCancel = !['done', 'stored', 'cancelled'].includes(run.state) && run.cancelRequestedAt === null;
  if (!canRetry && !canCancel) return undefined;
  return html`<div class="actions">
    ${canRetry && html`<form action="/runs/${run.id}/retry" method="post">${formToken(visitor)}<button type="submit" class="primary">Retry</button><span class="quiet">It goes on where it left off.</span></form>`}
    ${
      canCancel &&
      html`<details id="cancel">
        <summary>Cancel…</summary>
        <form action="/runs/${run.id}/cancel" method="post">
          ${formToken(visitor)}
          <p>
            The upstream job is cancelled too. What is stored stays stored; the window then counts as
            cancelled until it is retried.
          </p>
          <button type="submit" class="danger">Cancel run ${run.id}</button>
        </form>
      </details>`
    }
  </div>`;
}

function exportsOf({ exports, now }: RunDetail): Html {
  return html`<section id="jobs" class="card" data-live aria-labelledby="jobs-title">
    <h2 id="jobs-title">Upstream jobs <small>${exports.length}</small></h2>
    ${exports.length === 0 && html`<p class="quiet">None yet.</p>`}
    ${
      exports.length > 0 &&
      html`<div class="scroll" tabindex="0" role="region" aria-label="Upstream jobs">
        <table class="stack">
          <thead>
            <tr>
              <th scope="col">Attempt</th>
              <th scope="col">State</th>
              <th scope="col">Upstream says</th>
              <th scope="col">Job</th>
              <th scope="col">History entry</th>
              <th scope="col">Begun</th>
              <th scope="col">Ended</th>
              <th scope="col">Why</th>
            </tr>
          </thead>
          <tbody>
            ${exports.map(
              (row) =>
                html`<tr>
                  <th scope="row">${row.attempt}</th>
                  <td data-name="State">${badge(row.state)}</td>
                  <td data-name="Upstream says">
                    ${[row.statusWord, row.progress === null ? undefined : `${row.progress} %`].filter((text) => typeof text === 'string').join(', ') || '–'}
                  </td>
                  <td data-name="Job"><code>${row.upstreamJobId ?? '–'}</code></td>
                  <td data-name="History entry"><code>${row.upstreamHistoryId ?? '–'}</code></td>
                  <td data-name="Begun">${relative(row.createdAt ?? row.intendedAt, now)}</td>
                  <td data-name="Ended">${row.finishedAt ? relative(row.finishedAt, now) : '–'}</td>
                  <td data-name="Why" class="why">${row.reason}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`
    }
  </section>`;
}

function filesOf({ run, files, totals, after, now }: RunDetail): Html {
  const all = totals.reduce((sum, total) => sum + total.files, 0);
  const last = files.length === pageLength ? files.at(-1) : undefined;
  return html`<section id="files" class="card" data-live aria-labelledby="files-title">
    <h2 id="files-title">
      Files
      <small
        >${totals.map(({ state, files: n, bytes }, at) => `${at > 0 ? ' · ' : ''}${grouped(n)} ${state} (${humanBytes(bytes)})`)}</small
      >
    </h2>
    ${all === 0 && html`<p class="quiet">None yet.</p>`}
    ${
      files.length > 0 &&
      html`<div class="scroll" tabindex="0" role="region" aria-label="Files">
        <table class="stack">
          <thead>
            <tr>
              <th scope="col">File</th>
              <th scope="col">State</th>
              <th scope="col" class="n">Size</th>
              <th scope="col">CRC-32</th>
              <th scope="col">Proof</th>
              <th scope="col" class="n">Attempts</th>
              <th scope="col">Verified</th>
              <th scope="col">Deleted upstream</th>
              <th scope="col">Why</th>
            </tr>
          </thead>
          <tbody>
            ${files.map(
              (file) =>
                html`<tr>
                  <th scope="row"><span class="file" title="${file.key}">${file.name}</span></th>
                  <td data-name="State">${badge(file.state)}</td>
                  <td data-name="Size" class="n">${sizeOf(file)}</td>
                  <td data-name="CRC-32"><code>${file.crc32 ?? '–'}</code></td>
                  <td data-name="Proof">${file.proof ?? '–'}</td>
                  <td data-name="Attempts" class="n">${file.attempts}</td>
                  <td data-name="Verified">${file.verifiedAt ? relative(file.verifiedAt, now) : '–'}</td>
                  <td data-name="Deleted upstream">
                    ${file.deletedAt ? relative(file.deletedAt, now) : ['verified', 'lost'].includes(file.state) ? '–' : html`by the vendor ${relative(file.expiresAt, now)}`}
                  </td>
                  <td data-name="Why" class="why">${file.reason}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`
    }
    ${pages(run.id, 'files', after.file > 0, last && `files=${last.id}`)}
  </section>`;
}

function sizeOf({ size, announcedSize }: File): string {
  const bytes = size ?? announcedSize;
  return bytes === null ? '?' : humanBytes(bytes);
}

function historyOf({ run, lines, after }: RunDetail): Html {
  const last = lines.length === pageLength ? lines.at(-1) : undefined;
  return html`<section id="history" class="card" data-live aria-labelledby="history-title">
    <h2 id="history-title">History</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="History, oldest first">
      <table class="stack">
        <thead>
          <tr>
            <th scope="col">At</th>
            <th scope="col">What</th>
            <th scope="col">From</th>
            <th scope="col">To</th>
            <th scope="col">Who</th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          ${lines.map(
            (line) =>
              html`<tr>
                <th scope="row">${instant(line.at)}</th>
                <td data-name="What">
                  ${line.subject === 'file' ? html`<span class="file">${line.file ?? 'file'}</span>` : line.subject}
                </td>
                <td data-name="From">${line.fromState}</td>
                <td data-name="To">${badge(line.toState)}</td>
                <td data-name="Who"><code>${line.who}</code></td>
                <td data-name="Why" class="why">${line.reason}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${pages(run.id, 'history', after.line > 0, last && `lines=${last.id}`)}
  </section>`;
}

/** Links to the first and the next page of a part of a run. */
function pages(runId: number, part: string, later: boolean, next: string | undefined): Part {
  if (!later && next === undefined) return undefined;
  return html`<p class="more">
    ${later && html`<a href="/runs/${runId}#${part}">← from the start</a> `}${next !== undefined && html`<a href="/runs/${runId}?${next}#${part}" rel="next">more →</a>`}
  </p>`;
}
