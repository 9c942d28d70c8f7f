import { UdmSyncError, UsageError } from '../errors.ts';
import { dateFormatProblem, formatDate } from './date-format.ts';
import { encodeName, fitSegment } from './key-encoding.ts';

/** What a key may be made of. */
export interface WindowVariables {
  readonly tenant: string;
  readonly definition: string;
  readonly source: string;
  readonly type: string;
  /** Start of the window, inclusive. */
  readonly from: Date;
  /** End of the window, exclusive. */
  readonly to: Date;
  /** Id of the run. */
  readonly run: string;
  /** Id of the history entry that is adopted; absent for windows of ours. */
  readonly entry?: string;
}

export interface KeyVariables extends WindowVariables {
  /** The file's name upstream, whatever it holds. */
  readonly file: string;
}

/** A checked template; see `compileKeyTemplate`. */
export interface KeyTemplate {
  readonly text: string;
  /** The key of a file, relative to the sink. Throws `ERR_KEY` for an empty name. */
  render(variables: KeyVariables): string;
  /** The folder the files of a window lie in, without a slash at its end. */
  folder(variables: WindowVariables): string;
  /** The placeholders in the folder. */
  readonly inFolder: ReadonlySet<string>;
}

export const defaultKeyTemplate =
  "{tenant}/{definition}/dt={from:yyyy-MM-dd}/{from:yyyyMMdd'T'HHmmss'Z'}_{to:yyyyMMdd'T'HHmmss'Z'}/{file}";

/** Of definitions that adopt: people's jobs may make two entries at one time, so the entry's id tells them apart. */
export const adoptedKeyTemplate =
  "{tenant}/{definition}/dt={from:yyyy-MM-dd}/{from:yyyyMMdd'T'HHmmss'Z'}_{entry}/{file}";

const defaultDateFormat = "yyyyMMdd'T'HHmmss'Z'";
const manifestName = '_manifest.json';
const words = ['tenant', 'definition', 'source', 'type', 'run', 'entry', 'file'] as const;
const dates = ['from', 'to'] as const;

type Part =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'word'; readonly name: (typeof words)[number] }
  | { readonly kind: 'date'; readonly name: (typeof dates)[number]; readonly format: string };

type Segment = readonly Part[];

/**
 * Reads a key template: literal text, `{tenant}`, `{definition}`, `{source}`, `{type}`, `{run}`, `{entry}`, `{file}`, and
 * `{from}` and `{to}`, each with an optional Luxon format in UTC, as in `{from:yyyy-MM-dd}`.
 *
 * `{file}` comes last, and `{definition}` and `{from}` stand in the folder, so that two runs never share one.
 * Values are percent-encoded (see `encodeName`) and long segments shortened (see `fitSegment`).
 *
 * @throws UsageError that names every mistake
 */
export function compileKeyTemplate(text: string): KeyTemplate {
  const { segments, problems } = parse(text);
  problems.push(...checkLayout(segments));
  if (problems.length > 0) throw new UsageError([...new Set(problems)].join('; '));
  const folders = segments.slice(0, -1);
  const last = segments.at(-1) ?? [];
  const folder = (variables: WindowVariables) =>
    folders.map((segment) => renderSegment(segment, { ...variables, file: '' })).join('/');
  return {
    text,
    folder,
    inFolder: new Set(folders.flat().flatMap((part) => (part.kind === 'literal' ? [] : [part.name]))),
    render(variables) {
      if (variables.file === '') throw new UdmSyncError('ERR_KEY', 'A file without a name has no key.');
      return `${folder(variables)}/${notTheManifest(renderSegment(last, variables))}`;
    },
  };
}

/** Where the manifest of a window lies: beside its files. */
export function manifestKey(template: KeyTemplate, variables: WindowVariables): string {
  return `${template.folder(variables)}/${manifestName}`;
}

function notTheManifest(segment: string): string {
  return segment.toLowerCase() === manifestName ? `%5F${segment.slice(1)}` : segment;
}

function renderSegment(segment: Segment, variables: KeyVariables): string {
  const text = fitSegment(segment.map((part) => renderPart(part, variables)).join(''));
  if (text === '' || text === '.' || text === '..')
    throw new UdmSyncError('ERR_KEY', `A key would hold the segment "${text}".`);
  return text;
}

function renderPart(part: Part, variables: KeyVariables): string {
  if (part.kind === 'literal') return part.text;
  return encodeName(
    part.kind === 'date' ? formatDate(variables[part.name], part.format) : (variables[part.name] ?? ''),
  );
}

const placeholder = /\{([^{}:]*)(?::((?:'[^']*'|[^'{}])*))?\}/g;

function parse(text: string): { segments: Segment[]; problems: string[] } {
  const problems: string[] = [];
  const segments: Part[][] = [[]];
  const addLiteral = (literal: string) => {
    if (/[{}]/.test(literal)) problems.push('has a { or } without its partner');
    if (/[\\~\p{Cc}]/u.test(literal)) problems.push('may hold no backslash, ~ or control character');
    literal.split('/').forEach((piece, index) => {
      if (index > 0) segments.push([]);
      if (piece !== '') segments.at(-1)?.push({ kind: 'literal', text: piece });
    });
  };
  let end = 0;
  for (const match of text.matchAll(placeholder)) {
    addLiteral(text.slice(end, match.index));
    const part = parsePlaceholder(match[1] ?? '', match[2]);
    if (typeof part === 'string') problems.push(part);
    // A mistaken placeholder still fills its place, so that it is not reported as an empty segment too.
    segments.at(-1)?.push(typeof part === 'string' ? { kind: 'literal', text: match[0] } : part);
    end = match.index + match[0].length;
  }
  addLiteral(text.slice(end));
  return { segments, problems };
}

function parsePlaceholder(name: string, format: string | undefined): Part | string {
  const date = dates.find((known) => known === name);
  if (date) {
    const used = format ?? defaultDateFormat;
    const problem = dateFormatProblem(used);
    if (problem !== undefined) return problem;
    if (used.includes('/')) return `has / in "{${name}:${used}}"; write one placeholder for each folder`;
    return { kind: 'date', name: date, format: used };
  }
  const word = words.find((known) => known === name);
  if (!word) return `has the unknown placeholder {${name}}; known are ${known()}`;
  if (format !== undefined) return `has a format in {${name}}, which is no date`;
  return { kind: 'word', name: word };
}

function known(): string {
  return [...words, ...dates].map((name) => `{${name}}`).join(', ');
}

function checkLayout(segments: readonly Segment[]): string[] {
  const problems: string[] = [];
  const holds = (segment: Segment, name: string) =>
    segment.some((part) => part.kind !== 'literal' && part.name === name);
  const folders = segments.slice(0, -1);
  if (segments.some((segment) => segment.length === 0))
    problems.push('may not start or end with / or hold an empty segment');
  const dots = (segment: Segment) =>
    segment.every((part) => part.kind === 'literal') &&
    /^\.{1,2}$/.test(segment.map((part) => ('text' in part ? part.text : '')).join(''));
  if (segments.some(dots)) problems.push('may not hold a . or .. segment');
  const files = segments.flat().filter((part) => part.kind === 'word' && part.name === 'file').length;
  const final = segments.at(-1)?.at(-1);
  if (files !== 1 || final?.kind !== 'word' || final.name !== 'file')
    problems.push('must end with {file}, and hold it once');
  for (const name of ['definition', 'from'])
    if (!folders.some((segment) => holds(segment, name)))
      problems.push(`must hold {${name}} in its folder, before the last /, so that no two runs share one`);
  return problems;
}
