import type { z } from 'zod';
import { keepsInstant } from './date-format.ts';
import { didYouMean } from './did-you-mean.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { maxSegmentBytes } from './key-encoding.ts';
import { compileKeyTemplate, defaultKeyTemplate } from './key-template.ts';
import type { KeyTemplate } from './key-template.ts';
import type { Finding } from './references.ts';
import { fields, namePattern } from './schema.ts';
import { checkAdoption, checkSharedTitles } from './adoption.ts';
import { isMapping, valueAt } from './tree.ts';
import type { Mapping } from './tree.ts';
import { sampleWindows } from './window-samples.ts';
import type { Window } from './window-samples.ts';

/**
 * Mistakes that no single setting shows. Works on the tree rather than on the parsed configuration, so that a
 * mistake elsewhere hides none of them; what does not parse by itself is left to the schema.
 *
 * @param now for `windows.start`
 */
export function crossCheck(tree: unknown, now: Date): Finding[] {
  const named = ['tenants', 'sinks', 'definitions', 'notifications'] as const;
  const rendered = new Map<string, string | undefined>();
  return [
    ...named.flatMap((collection) => checkNames(collection, entriesOf(tree, collection))),
    ...entriesOf(tree, 'sinks').flatMap(([name, sink]) => checkSink(['sinks', name], sink)),
    ...entriesOf(tree, 'definitions').flatMap(([name, definition]) =>
      checkDefinition({ tree, now, rendered }, name, definition),
    ),
    ...checkSharedTitles(entriesOf(tree, 'definitions')),
    ...entriesOf(tree, 'notifications').flatMap(([name, webhook]) => checkFilters(tree, name, webhook)),
    ...checkOrder(tree, ['worker', 'poll'], 'min', 'max', '5s', '2m'),
    ...checkRetention(tree),
    ...checkHistory(tree),
  ];
}

function entriesOf(tree: unknown, collection: string): [string, Mapping][] {
  const found = valueAt(tree, [collection]);
  if (!isMapping(found)) return [];
  return Object.entries(found).map(([name, entry]) => [name, isMapping(entry) ? entry : {}]);
}

function checkNames(collection: string, entries: readonly [string, Mapping][]): Finding[] {
  return entries
    .filter(([name]) => !namePattern.test(name))
    .map(([name]) => ({
      path: [collection, name],
      message:
        'has a name that is not allowed: 1 to 63 of a-z, 0-9, -, _ and ., with a letter or digit first',
    }));
}

function checkSink(path: readonly string[], sink: Mapping): Finding[] {
  const [id, key, token] = ['accessKeyId', 'secretAccessKey', 'sessionToken'].map(
    (name) => sink[name] !== undefined,
  );
  if (id && !key) return [{ path: [...path, 'secretAccessKey'], message: 'is required beside accessKeyId' }];
  if (key && !id) return [{ path: [...path, 'accessKeyId'], message: 'is required beside secretAccessKey' }];
  if (token && !id)
    return [{ path: [...path, 'sessionToken'], message: 'needs accessKeyId and secretAccessKey beside it' }];
  return [];
}

interface Context {
  readonly tree: unknown;
  readonly now: Date;
  /** Verdicts of rendering many windows, which definitions that are alike share. */
  readonly rendered: Map<string, string | undefined>;
}

function checkDefinition(context: Context, name: string, definition: Mapping): Finding[] {
  const { tree, now } = context;
  const path = ['definitions', name];
  const start = read(fields.windowStart, valueAt(definition, ['windows', 'start']));
  const future: Finding[] =
    start && start > now
      ? [{ path: [...path, 'windows', 'start'], message: 'is in the future; history cannot start there' }]
      : [];
  return [
    ...checkName(tree, [...path, 'tenant'], 'tenants', definition['tenant']),
    ...checkName(tree, [...path, 'sink'], 'sinks', definition['sink']),
    ...future,
    ...checkAdoption(path, definition, now),
    ...checkOrder(tree, [...path, 'retry'], 'minDelay', 'maxDelay', '30s', '30m'),
    ...checkTexts(context, path, definition, start),
  ];
}

/** A filter by a name that does not exist would silence a webhook. */
function checkFilters(tree: unknown, name: string, webhook: Mapping): Finding[] {
  return (['tenants', 'definitions'] as const).flatMap((filter) => {
    const wanted = webhook[filter];
    const names: unknown[] = Array.isArray(wanted) ? wanted : [];
    return names.flatMap((each) => checkName(tree, ['notifications', name, filter], filter, each));
  });
}

function checkName(tree: unknown, path: readonly string[], collection: string, name: unknown): Finding[] {
  if (typeof name !== 'string' || name === '') return [];
  const names = entriesOf(tree, collection).map(([known]) => known);
  if (names.includes(name)) return [];
  const known = didYouMean(name, names) || `; known are ${names.join(', ') || 'none'}`;
  return [{ path, message: `must be the name of one of ${collection}${known}` }];
}

/** The lower bound of a pair may not be above the upper one. */
function checkOrder(
  tree: unknown,
  path: readonly string[],
  least: string,
  most: string,
  usualLeast: string,
  usualMost: string,
): Finding[] {
  const low = parseDuration(valueAt(tree, [...path, least]) ?? usualLeast);
  const high = parseDuration(valueAt(tree, [...path, most]) ?? usualMost);
  if (low === undefined || high === undefined || low <= high) return [];
  return [
    { path: [...path, least], message: `must not be longer than ${most}, which is ${formatDuration(high)}` },
  ];
}

const tenDaysMs = 864_000_000;

/** A warning comes before the critical one, and both within the time that files are kept. */
function checkRetention(tree: unknown): Finding[] {
  const below = (shorter: string, longer: string, usualShorter: string, usualLonger: string): Finding[] => {
    const low = parseDuration(valueAt(tree, ['retention', shorter]) ?? usualShorter);
    const high = parseDuration(valueAt(tree, ['retention', longer]) ?? usualLonger);
    if (low === undefined || high === undefined || low < high) return [];
    return [
      {
        path: ['retention', shorter],
        message: `must be shorter than ${longer}, which is ${formatDuration(high)}`,
      },
    ];
  };
  return [...below('criticalAt', 'warnAt', '3d', '10d'), ...below('warnAt', 'keepFor', '10d', '30d')];
}

/** What is known of a file must outlast the file: the vendor may be late, and clocks may differ. */
function checkHistory(tree: unknown): Finding[] {
  const keep = parseDuration(valueAt(tree, ['history', 'keep']));
  const keepFor = parseDuration(valueAt(tree, ['retention', 'keepFor']) ?? '30d');
  if (keep === undefined || keepFor === undefined || keep >= keepFor + tenDaysMs) return [];
  return [
    {
      path: ['history', 'keep'],
      message: `must be at least ten days longer than retention.keepFor, which is ${formatDuration(keepFor)}`,
    },
  ];
}

/** Keys and dates must tell every window from every other. */
function checkTexts(
  { tree, rendered }: Context,
  path: readonly string[],
  definition: Mapping,
  start: Date | undefined,
): Finding[] {
  // Entries that are adopted have no windows; what their keys need is in adoption.ts.
  if (definition['adopt'] !== undefined) return [];
  const length = read(fields.windowLength, valueAt(definition, ['windows', 'length']));
  if (length === undefined) return [];
  const once = (text: string, judge: (windows: Window[]) => string | undefined) => {
    const id = JSON.stringify([text, length, start]);
    if (!rendered.has(id)) rendered.set(id, judge(sampleWindows(length, start)));
    return rendered.get(id);
  };
  const findings: Finding[] = [];

  const key = read(fields.key, definition['key'] ?? defaultKeyTemplate);
  if (key !== undefined) {
    const template = compileKeyTemplate(key);
    if (template.inFolder.has('entry'))
      findings.push({
        path: [...path, 'key'],
        message: 'may hold {entry} only beside adopt: windows have no entry',
      });
    const message =
      once(`key ${key}`, (windows) => sharedFolder(template, windows, length)) ??
      keyTooLong(tree, template, definition);
    if (message !== undefined) findings.push({ path: [...path, 'key'], message });
  }

  const tenant = definition['tenant'];
  const settings = typeof tenant === 'string' ? valueAt(tree, ['tenants', tenant]) : undefined;
  const format = isMapping(settings) ? read(fields.dateFormat, settings['dateFormat']) : undefined;
  if (format !== undefined) {
    const message = once(`date ${format}`, (windows) =>
      windows.every(({ from, to }) => keepsInstant(from, format) && keepsInstant(to, format))
        ? undefined
        : `must render dates that can be read back exactly, also those of windows of ${formatDuration(length)}`,
    );
    if (message !== undefined) findings.push({ path: ['tenants', String(tenant), 'dateFormat'], message });
  }
  return findings;
}

function sharedFolder(template: KeyTemplate, windows: readonly Window[], length: number): string | undefined {
  const seen = new Map<string, Window>();
  for (const window of windows) {
    const names = { tenant: 'tenant', definition: 'definition', source: 'source', type: 'type', run: 'run' };
    const folder = template.folder({ ...names, ...window });
    const other = seen.get(folder);
    seen.set(folder, window);
    if (other)
      return `must give every window of ${formatDuration(length)} a folder of its own; those of ${other.from.toISOString()} and ${window.from.toISOString()} would share one`;
  }
  return undefined;
}

const maxKeyBytes = 1024;

/** S3 takes keys of up to 1024 bytes, prefix included. */
function keyTooLong(tree: unknown, template: KeyTemplate, definition: Mapping): string | undefined {
  const sink = definition['sink'];
  const prefix = typeof sink === 'string' ? valueAt(tree, ['sinks', sink, 'prefix']) : undefined;
  const [window] = sampleWindows(60_000);
  if (!window) return undefined;
  const word = (name: string) => (typeof definition[name] === 'string' ? definition[name] : '-');
  const folder = template.folder({
    tenant: word('tenant'),
    definition: 'd'.repeat(63),
    source: word('source'),
    type: word('type'),
    run: '0'.repeat(36),
    ...window,
  });
  const bytes = Buffer.byteLength(`${typeof prefix === 'string' ? prefix : ''}/${folder}/`) + maxSegmentBytes;
  return bytes > maxKeyBytes
    ? `must keep keys below ${maxKeyBytes} bytes, the sink's prefix included`
    : undefined;
}

function read<T>(schema: z.ZodType<T>, value: unknown): T | undefined {
  const result = schema.safeParse(value);
  return result.success ? result.data : undefined;
}
