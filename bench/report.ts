import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { isMet } from './result.ts';
import type { Bar, CaseResult } from './result.ts';

const file = join(import.meta.dirname, '../docs/benchmarks.md');

/** A case's result as Markdown, which is also readable on a terminal. */
export function toMarkdown(result: CaseResult, machine: string): string {
  const { title, columns, rows, bars, remarks, plot } = result;
  const blocks = [
    `### ${title}`,
    `${machine}.`,
    ...(columns.length === 0 ? [] : [table(columns, rows)]),
    ...(plot === undefined ? [] : [`\`\`\`text\n${plot}\n\`\`\``]),
    ...(bars.length === 0 ? [] : [bars.map((bar) => `- ${describeBar(bar)}`).join('\n')]),
    ...(remarks.length === 0 ? [] : [remarks.join('\n')]),
  ];
  return blocks.join('\n\n');
}

/** Puts a result between its markers in docs/benchmarks.md. */
export async function writeResult(result: CaseResult, markdown: string): Promise<void> {
  const written = replaceSection(await readFile(file, 'utf8'), result.id, markdown);
  const style = await resolveConfig(file);
  await writeFile(file, await format(written, { ...style, filepath: file }));
}

/**
 * The document with new text between the markers of a section.
 *
 * @throws Error when the document has no such markers
 */
export function replaceSection(document: string, id: string, text: string): string {
  const [begin, end] = [`<!-- begin ${id} -->`, `<!-- end ${id} -->`];
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md has no place for ${id}`);
  return `${document.slice(0, from)}${begin}\n\n${text}\n\n${document.slice(to)}`;
}

function describeBar(bar: Bar): string {
  const { what, value, bound, atLeast = false, unit } = bar;
  const verdict = isMet(bar) ? 'met' : 'not met';
  return `${what}: ${short(value)} ${unit}, the bar is ${atLeast ? 'at least' : 'at most'} ${short(bound)} ${unit}: **${verdict}**`;
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((name, column) =>
    Math.max(3, name.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => (column === 0 ? (cells[0] ?? '').padEnd(width) : (cells[column] ?? '').padStart(width))).join(' | ')} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(columns), line(rule), ...rows.map(line)].join('\n');
}

function short(value: number): string {
  return value.toFixed(value < 10 ? 2 : 0);
}
