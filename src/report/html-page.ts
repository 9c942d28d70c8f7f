import { humanBytes } from '../format.ts';
import { readAssets } from '../page/assets.ts';
import { activityChart } from '../page/charts.ts';
import { html } from '../page/html.ts';
import type { Html } from '../page/html.ts';
import { badge, grouped, instant, windowText } from '../page/layout.ts';
import { printable } from '../printable.ts';
import { entriesWithFiles, isOpen, outcomes } from './entries.ts';
import type { FileEntry, Outcome, WindowEntry } from './entries.ts';
import type { ReportInput } from './report.ts';
import { isComplete } from './summary.ts';
import type { Summary, Totals } from './summary.ts';

/** Beyond the style sheet of the status page: a bar of shares, and paper. */
const ownStyle = `
main { padding-block: var(--gap); }
.bars.share { height: 14px; margin-top: 6px; }
tbody.window > tr:first-child > th { padding-top: 14px; font-weight: 600; }
tbody.window .why { display: block; font-weight: 400; }
td .file, .sum { overflow-wrap: anywhere; }
.sum { font-variant-numeric: tabular-nums; font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 0.8125rem; }
@media print {
  :root { color-scheme: light; --ground: #fff; --card: #fff; --line: #bbb; --ink: #000; --quiet: #444; --none: #eee; font-size: 10px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .scroll { overflow: visible; max-height: none; }
  .chart details { display: none; }
  .card { break-inside: auto; border: 0; padding: 0; }
  tr, figure { break-inside: avoid; }
  thead { display: table-header-group; }
}
`;

const classes: Readonly<Record<Outcome, string>> = {
  done: 'done',
  'under-way': 'running',
  failed: 'failed',
  cancelled: 'cancelled',
  'not-planned': 'missing',
};
const words: Readonly<Record<Outcome, string>> = {
  done: 'done',
  'under-way': 'under way',
  failed: 'failed',
  cancelled: 'cancelled',
  'not-planned': 'not planned',
};

/** What closes each definition's table. */
const tableEnd = '</tbody></table></div></section>\n';

/**
 * The report as one page that needs nothing else: no script, no other resource; the drawings are SVG. Tags that are
 * opened in one piece and closed in another stand in plain strings: prettier closes what a template leaves open.
 */
export async function* htmlReport(input: ReportInput): AsyncGenerator<string> {
  const { scope, summary } = input;
  const style = `${(await readAssets())['page.css']?.body.toString() ?? ''}${ownStyle}`;
  const title = `Transfers ${scope.from.toISOString().slice(0, 16)}Z – ${scope.to.toISOString().slice(0, 16)}Z – udm-sync`;
  yield `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${style}</style>
</head>
<body>
<main>
`;
  yield html`${verdict(input)}${chart(summary)}${definitionShares(summary)}${attentionList(summary.attention)}`
    .text;
  for (const definition of scope.definitions) {
    const name = printable(definition.name);
    let open = false;
    yield `<section class="card">${html`<h2>${name}</h2>`.text}\n`;
    for await (const entry of entriesWithFiles(input.db, scope, definition)) {
      if (entry.kind === 'file') {
        yield fileRow(entry).text;
        continue;
      }
      yield open ? '</tbody>\n' : tableBegin(name);
      open = true;
      yield `<tbody class="window">${windowRow(entry).text}`;
    }
    yield open ? tableEnd : '<p class="quiet">No window in this range.</p></section>\n';
  }
  yield '</main>\n</body>\n</html>\n';
}

function verdict({ scope, summary, only }: ReportInput): Html {
  const complete = isComplete(summary.totals);
  return html`<section class="verdict ${complete ? 'safe' : 'at-risk'}">
    <div class="answer">
      <span class="icon" aria-hidden="true">${complete ? '✓' : '!'}</span>
      <div>
        <h1>
          ${
            complete
              ? 'Complete: every window that is due is verified in the sink.'
              : 'Not complete: see what needs attention.'
          }
        </h1>
        <p>
          Windows of ${only === undefined ? 'all definitions' : printable(only)} that begin from
          ${instant(scope.from)} until before ${instant(scope.to)} (UTC), as of ${instant(scope.now)}.
        </p>
      </div>
    </div>
    ${figures(summary.totals)}
  </section>`;
}

function chart({ chart: { unit, bars } }: Summary): Html {
  return html`<section class="card">
    <h2>By the time that windows begin at</h2>
    ${activityChart('chart', 'Verified in the sink', unit, bars)}
    <p class="note">An error is a window that failed or was not planned, or a file that is dead or lost.</p>
  </section>`;
}

function definitionShares({ definitions }: Summary): Html {
  return html`<section class="card">
    <h2>Definitions</h2>
    ${definitions.map(({ name, totals }) => shares(name, totals))}
  </section>`;
}

function figures({ windows, files, bytes, proofs }: Totals): Html {
  const all: readonly (readonly [string, string])[] = [
    ...outcomes.map((outcome) => [`windows ${words[outcome]}`, grouped(windows[outcome])] as const),
    ['files deleted upstream', grouped(files.deleted)],
    ['files verified, still upstream', grouped(files.verified)],
    ['files waiting', grouped(files.waiting)],
    ['files dead', grouped(files.dead)],
    ['files lost', grouped(files.lost)],
    ['files set aside', grouped(files.setAside)],
    ['verified in the sink', humanBytes(bytes)],
    ['proven by reading back', grouped(proofs.read)],
    ["proven by the store's checksum", grouped(proofs.checksum)],
    ['proven by size', grouped(proofs.size)],
  ];
  return html`<dl class="figures">
    ${all.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

/** A definition's windows as one bar, and in words. */
function shares(name: string, { windows, files, bytes }: Totals): Html {
  const sum = outcomes.reduce((total, outcome) => total + windows[outcome], 0);
  const told = outcomes
    .filter((outcome) => windows[outcome] > 0)
    .map((outcome) => `${grouped(windows[outcome])} ${words[outcome]}`)
    .join(', ');
  let at = 0;
  const parts = outcomes.map((outcome) => {
    const width = sum === 0 ? 0 : (windows[outcome] / sum) * 100;
    at += width;
    return width > 0
      ? html`<rect
          class="${classes[outcome]}"
          x="${(at - width).toFixed(3)}"
          y="0"
          width="${width.toFixed(3)}"
          height="10"
        />`
      : '';
  });
  return html`<figure class="chart">
    <figcaption>
      <h3>${printable(name)}</h3>
      <span>${told === '' ? 'no window' : told}</span
      ><span class="quiet">${grouped(files.deleted + files.verified)} files, ${humanBytes(bytes)}</span>
    </figcaption>
    <svg
      class="bars share"
      role="img"
      aria-label="${printable(name)}: ${told === '' ? 'no window' : told}"
      viewBox="0 0 100 10"
      preserveAspectRatio="none"
    >
      <rect class="ground" x="0" y="0" width="100" height="10" />
      ${parts}
    </svg>
  </figure>`;
}

function attentionList({ shown, count }: ReportInput['summary']['attention']): Html {
  if (count === 0) return html``;
  return html`<section class="card">
    <h2>Needs attention</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Needs attention">
      <table>
        <thead>
          <tr>
            <th scope="col">Window (UTC)</th>
            <th scope="col">Definition</th>
            <th scope="col">Outcome</th>
            <th scope="col">Run</th>
            <th scope="col">Reason</th>
          </tr>
        </thead>
        <tbody>
          ${shown.map((entry) => {
            const { definition, from, to } = placeOf(entry);
            return html`<tr>
              <th scope="row">${windowText(from, to)}</th>
              <td>${printable(definition)}</td>
              <td>${outcomeBadge(entry)}</td>
              <td>${entry.kind === 'run' ? entry.run.id : '–'}</td>
              <td>${reasonOf(entry)}</td>
            </tr>`;
          })}
        </tbody>
      </table>
    </div>
    ${count > shown.length && html`<p class="more">… and ${grouped(count - shown.length)} more below.</p>`}
  </section>`;
}

function tableBegin(name: string): string {
  const headings = [
    ['File'],
    ['State'],
    ['Bytes', 'n'],
    ['CRC-32'],
    ['Proof'],
    ['Verified (UTC)'],
    ['Deleted upstream (UTC)'],
    ['Key, or why'],
  ].map(([heading, tone]) => html`<th scope="col" class="${tone ?? ''}">${heading}</th>`);
  const row = html`<tr>
    ${headings}
  </tr>`;
  const label = html`${name}: windows and files`.text;
  return `<div class="scroll" tabindex="0" role="region" aria-label="${label}">\n<table><thead>${row.text}</thead>\n`;
}

function windowRow(entry: WindowEntry): Html {
  const { from, to } = placeOf(entry);
  const reason = reasonOf(entry);
  const facts =
    entry.kind === 'run' &&
    html` <small
      >run ${entry.run.id}, attempt ${entry.run.attempt}, ${grouped(entry.run.verified + entry.run.deleted)}
      files,
      ${humanBytes(entry.run.bytes)}${entry.run.sinkUri !== null && ` in ${printable(entry.run.sinkUri)}`}</small
    >`;
  return html`<tr>
    <th scope="rowgroup" colspan="8">
      ${windowText(from, to)}
      ${outcomeBadge(entry)}${facts}${reason !== '' && html`<span class="why">${reason}</span>`}
    </th>
  </tr>`;
}

function fileRow({ file, run }: FileEntry): Html {
  const safe = file.state === 'verified' || file.state === 'deleted';
  const aside = !safe && !isOpen(file, run);
  return html`<tr>
    <td><span class="file">${printable(file.name)}</span></td>
    <td>${badge(file.state)}${aside && html` <small>set aside</small>`}</td>
    <td class="n">${grouped(file.size ?? file.announcedSize ?? 0)}</td>
    <td class="sum">${file.crc32 ?? '–'}</td>
    <td>${file.proof ?? '–'}</td>
    <td>${file.verifiedAt ? instant(file.verifiedAt) : '–'}</td>
    <td>${file.deletedAt ? instant(file.deletedAt) : '–'}</td>
    <td><span class="file">${printable(safe ? file.key : (file.reason ?? ''))}</span></td>
  </tr> `;
}

function placeOf(entry: WindowEntry): { definition: string; from: Date; to: Date } {
  return entry.kind === 'run' ? entry.run : entry;
}

function outcomeBadge({ outcome }: WindowEntry): Html {
  return html`<span class="badge ${classes[outcome]}">${words[outcome]}</span>`;
}

function reasonOf(entry: WindowEntry): string {
  if (entry.kind === 'gap') return `${entry.windows} windows are due and no run has them`;
  return printable(entry.run.reason ?? '');
}
