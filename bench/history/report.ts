import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import type { Measured } from './measure.ts';
import type { Growth, TableSize } from './sizes.ts';

/** The bar: what any one statement may take, in ms. */
export const limitMs = 20;

/** How fast old records go. */
export interface PruneSpeed {
  readonly runs: number;
  readonly rows: number;
  readonly seconds: number;
}

/** Which statements miss the bar, and why. */
export function misses(measured: readonly Measured[]): string[] {
  return measured.flatMap(({ who, name, ms, scanned }) => {
    if (scanned.length > 0) return [`${who}: ${name} reads all of ${scanned.join(', ')}`];
    return ms >= limitMs ? [`${who}: ${name} takes ${ms.toFixed(1)} ms`] : [];
  });
}

const cell = (text: string) => text.replaceAll('|', String.raw`\|`);
const row = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
const table = (heads: readonly string[], rows: readonly (readonly string[])[]) =>
  [row(heads), row(heads.map(() => '---')), ...rows.map(row)].join('\n');

const heads = ['Who', 'Statement', 'ms', 'Pages', 'Rows', 'Indexes', 'Reads a whole table'];

function queryRow({ who, name, ms, pages, rows, indexes, scanned }: Measured): string[] {
  const ours = indexes.filter((index) => !index.startsWith('pg_'));
  const whole = scanned.length > 0 ? scanned.join(', ') : 'no';
  return [who, name, ms.toFixed(2), String(pages), String(rows), ours.join(', '), whole];
}

const slowestOfQueue = 5;

/** The statements as a table of Markdown; of pg-boss's many, the slowest and the rest in one row. */
export function queriesTable(measured: readonly Measured[]): string {
  const ofQueue = measured.filter(({ who }) => who === 'queue').sort((a, b) => b.ms - a.ms);
  const [slow, rest] = [ofQueue.slice(0, slowestOfQueue), ofQueue.slice(slowestOfQueue)];
  const scanned = rest.flatMap((one) => one.scanned).join(', ');
  return table(heads, [
    ...measured.filter(({ who }) => who === 'worker').map(queryRow),
    ...slow.map(queryRow),
    [
      'queue',
      `pg-boss: ${rest.length} others, each`,
      `≤ ${(rest[0]?.ms ?? 0).toFixed(2)}`,
      '',
      '',
      '',
      scanned === '' ? 'no' : scanned,
    ],
    ...measured.filter(({ who }) => who !== 'worker' && who !== 'queue').map(queryRow),
  ]);
}

const mib = (bytes: number) => (bytes / 1024 / 1024).toFixed(bytes < 1024 * 1024 * 10 ? 1 : 0);

/** The sizes as a table of Markdown. */
export function sizesTable(sizes: readonly TableSize[]): string {
  return table(
    ['Table', 'Rows', 'Heap, MiB', 'Indexes, MiB', 'Bytes per row'],
    sizes.map(({ table: name, rows, heap, indexes }) => [
      name,
      rows.toLocaleString('en'),
      mib(heap),
      mib(indexes),
      rows > 0 ? String(Math.round((heap + indexes) / rows)) : '-',
    ]),
  );
}

const dayOfExample = { runs: 240, files: 2400 };

/** What one file, one run, a day and pruning come to, in a sentence each. */
export function growthText({ file, run, prunedRun }: Growth, pruned: PruneSpeed): string {
  const { runs, files } = dayOfExample;
  const day = runs * run + files * file;
  return [
    `- A file takes ${Math.round(file)} bytes, a run ${Math.round(run)} bytes besides its files: rows, lines of history and indexes.`,
    `- A tenant with ten hourly definitions of ten files each (${runs} runs and ${files} files a day) adds ${mib(day)} MiB a day, ${((day * 400) / 1024 ** 3).toFixed(1)} GiB in 400 days.`,
    `- Of a run that was pruned, ${Math.round(prunedRun)} bytes stay. Pruning ${pruned.runs.toLocaleString('en')} runs deleted ${pruned.rows.toLocaleString('en')} rows in ${pruned.seconds.toFixed(0)} s.`,
  ].join('\n');
}

/** Replaces what lies between the markers `<!-- name -->` and `<!-- /name -->` of a Markdown file, and formats it. */
export async function writeBetween(file: string, parts: Readonly<Record<string, string>>): Promise<void> {
  let text = await readFile(file, 'utf8');
  for (const [name, content] of Object.entries(parts)) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`${file} has no ${begin} … ${end}`);
    text = `${text.slice(0, from + begin.length)}\n\n${content}\n\n${text.slice(to)}`;
  }
  const options = await resolveConfig(file);
  await writeFile(file, await format(text, { ...options, filepath: file }));
}
