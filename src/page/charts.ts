import { humanBytes } from '../format.ts';
import type { Activity, Expiry } from '../store/overview.ts';
import { html } from './html.ts';
import type { Html } from './html.ts';
import { grouped } from './layout.ts';

/** Units of the drawings; a bar with its gap is 10 wide. */
const barWidth = 10;
const gap = 2;

interface Bar {
  readonly value: number;
  readonly tone: string;
  readonly title: string;
}

/** Bars from the bottom up, scaled to the highest; no bar that has something is too low to be seen. */
function bars(list: readonly Bar[], height: number, label: string): Html {
  const most = Math.max(...list.map((bar) => bar.value), 1);
  return html`<svg
    class="bars"
    role="img"
    aria-label="${label}"
    viewBox="0 0 ${list.length * barWidth} ${height}"
    preserveAspectRatio="none"
  >
    ${list.map(({ value, tone, title }, at) => {
      const tall = value === 0 ? 0 : Math.max((value / most) * height, 2);
      const x = at * barWidth + gap / 2;
      return html`<g
        ><title>${title}</title
        ><rect class="ground" x="${x}" y="0" width="${barWidth - gap}" height="${height}" />${
          tall > 0 &&
          html`<rect
            class="${tone}"
            x="${x}"
            y="${(height - tall).toFixed(2)}"
            width="${barWidth - gap}"
            height="${tall.toFixed(2)}"
          />`
        }</g
      >`;
    })}
  </svg>`;
}

/** How an instant of a chart is written: in short at its axis, and in full. */
const spellings = {
  hour: {
    heading: 'Hour',
    name: (iso: string) => iso.slice(11, 16),
    whole: (iso: string) => iso.slice(0, 16),
  },
  day: { heading: 'Day', name: (iso: string) => iso.slice(5, 10), whole: (iso: string) => iso.slice(0, 10) },
  month: {
    heading: 'Month',
    name: (iso: string) => iso.slice(0, 7),
    whole: (iso: string) => iso.slice(0, 7),
  },
} as const;

/** Bytes stored and errors, over hours, days or months, with the same as a table. */
export function activityChart(
  id: string,
  title: string,
  unit: 'hour' | 'day' | 'month',
  list: readonly Activity[],
): Html {
  const sum = (pick: (row: Activity) => number) => list.reduce((total, row) => total + pick(row), 0);
  const [bytes, files, errors] = [sum((row) => row.bytes), sum((row) => row.files), sum((row) => row.errors)];
  const { name, whole, heading } = spellings[unit];
  const most = Math.max(...list.map((row) => row.bytes), 0);
  const axis = [list.at(0), list.at(Math.floor(list.length / 2)), list.at(-1)];
  return html`<figure class="chart">
    <figcaption>
      <h3>${title}</h3>
      <span><b>${humanBytes(bytes)}</b> in ${grouped(files)} files</span
      ><span class="quiet">at most ${humanBytes(most)} / ${unit}</span
      ><span class="${errors > 0 ? 'bad' : 'quiet'}"><b>${grouped(errors)}</b> errors</span>
    </figcaption>
    <div class="plot">
      ${bars(
        list.map((row) => ({
          value: row.bytes,
          tone: 'stored',
          title: `${whole(row.at.toISOString()).replace('T', ' ')}: ${humanBytes(row.bytes)} in ${row.files} files`,
        })),
        60,
        `${title}: ${humanBytes(bytes)} stored, at most ${humanBytes(most)} in one ${unit}`,
      )}
      ${bars(
        list.map((row) => ({
          value: row.errors,
          tone: 'failed',
          title: `${whole(row.at.toISOString()).replace('T', ' ')}: ${row.errors} errors`,
        })),
        16,
        `${title}: ${errors} errors`,
      )}
    </div>
    <div class="axis" aria-hidden="true">
      ${axis.map((row) => html`<span>${row && name(row.at.toISOString())}</span>`)}
    </div>
    <details id="${id}">
      <summary>As a table</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="${title}, as a table">
        <table>
          <thead>
            <tr>
              <th scope="col">${heading} (UTC)</th>
              <th scope="col" class="n">Stored</th>
              <th scope="col" class="n">Files</th>
              <th scope="col" class="n">Errors</th>
            </tr>
          </thead>
          <tbody>
            ${list.toReversed().map(
              (row) =>
                html`<tr>
                  <th scope="row">${whole(row.at.toISOString()).replace('T', ' ')}</th>
                  <td class="n">${humanBytes(row.bytes)}</td>
                  <td class="n">${grouped(row.files)}</td>
                  <td class="n">${row.errors}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>
  </figure>`;
}

/** The vendor deletes a file after so many days. */
const keptDays = 30;

/** Files not yet safe by the days left until the vendor deletes them, the most urgent at the left. */
export function expiryChart(list: readonly Expiry[]): Html {
  const days = Array.from({ length: keptDays }, (_, day) => {
    const within = list.filter((row) =>
      day === 0 ? row.days <= 0 : day === keptDays - 1 ? row.days >= day : row.days === day,
    );
    const files = within.reduce((total, row) => total + row.files, 0);
    const bytes = within.reduce((total, row) => total + row.bytes, 0);
    return {
      value: files,
      tone: day < 3 ? 'failed' : day < 7 ? 'missing' : 'stored',
      title: `${day === 0 ? 'less than a day' : day === keptDays - 1 ? `${day} days or more` : `${day} days`} left: ${files} files, ${humanBytes(bytes)}`,
    };
  });
  const told = days.filter((day) => day.value > 0).map((day) => day.title);
  return html`<figure class="chart expiry">
    <div class="plot">${bars(days, 60, told.join('; '))}</div>
    <div class="axis" aria-hidden="true"><span>today</span><span>15 days left</span><span>30</span></div>
  </figure>`;
}
