import { DateTime } from 'luxon';

// The machine's own locale must not decide what a key or a request looks like.
const utc = { zone: 'utc', locale: 'en-US', numberingSystem: 'latn' } as const;

/** Luxon tokens whose text does not depend on the place or the reader. */
const tokens = new Set(
  'y yy yyyy M MM MMM MMMM L LL LLL LLLL d dd o ooo H HH h hh a m mm s ss S SSS u uu uuu W WW kk kkkk q qq c ccc cccc E EEE EEEE X x Z ZZ ZZZ'.split(
    ' ',
  ),
);

/** What is wrong with a Luxon format, or undefined. Letters that are no token must stand in single quotes. */
export function dateFormatProblem(format: string): string | undefined {
  if (format === '') return 'has an empty date format';
  if (format.split("'").length % 2 === 0) return `has a single quote without its partner in "${format}"`;
  const bare = format.replaceAll(/'[^']*'/g, "'");
  for (const [run] of bare.matchAll(/([A-Za-z])\1*/g))
    if (!tokens.has(run))
      return `has "${run}" in "${format}", which is no date token; write text in single quotes`;
  if (!/[A-Za-z]/.test(bare)) return `has no date token in "${format}"`;
  return undefined;
}

/** The date in UTC, by a Luxon format. */
export function formatDate(date: Date, format: string): string {
  return DateTime.fromJSDate(date, utc).toFormat(format);
}

/** The instant a formatted text stands for, or undefined. */
function parseDate(text: string, format: string): number | undefined {
  // Luxon writes these two but does not read them.
  if (format === 'x' || format === 'X') return Number(text) * (format === 'x' ? 1 : 1000);
  const parsed = DateTime.fromFormat(text, format, utc);
  return parsed.isValid ? parsed.toMillis() : undefined;
}

/** The named formats of a tenant's `dateFormat`; everything else is a Luxon format. */
export const namedDateFormats: ReadonlyMap<string, string> = new Map([
  ['iso', "yyyy-MM-dd'T'HH:mm:ss'Z'"],
  ['iso-millis', "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"],
  ['epoch-ms', 'x'],
]);

/**
 * A date as the tenant's upstream wants it in `timeFrame`, in UTC.
 *
 * @param dateFormat `TenantConfig.dateFormat`
 */
export function formatUpstreamDate(date: Date, dateFormat: string): string {
  return formatDate(date, namedDateFormats.get(dateFormat) ?? dateFormat);
}

/** Whether the upstream could read the very same instant back from the text. */
export function keepsInstant(date: Date, dateFormat: string): boolean {
  const format = namedDateFormats.get(dateFormat) ?? dateFormat;
  return parseDate(formatDate(date, format), format) === date.getTime();
}
