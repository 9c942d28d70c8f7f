import ms from 'ms';

const pattern = /^(\d{1,12}) ?(ms|s|m|h|d|w)$/;

/** The shapes `parseDuration` takes, for people. */
export const durationUnits = 'ms, s, m, h, d or w';

/**
 * Milliseconds of a duration such as `500ms`, `30s`, `15m`, `1h`, `1d` or `1w`; undefined for anything else.
 *
 * Stricter than `ms`: a whole number with a unit, because `30` says nothing and `1M` could be a month. Only 0
 * needs no unit.
 */
export function parseDuration(value: unknown): number | undefined {
  if (value === 0 || value === '0') return 0;
  if (typeof value !== 'string') return undefined;
  const match = pattern.exec(value.trim());
  if (!match) return undefined;
  const unit = match[2];
  if (unit !== 'ms' && unit !== 's' && unit !== 'm' && unit !== 'h' && unit !== 'd' && unit !== 'w')
    return undefined;
  return Number(match[1]) * ms(`1${unit}`);
}

const units = [
  ['w', 604_800_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** The shortest exact text for so many milliseconds: 5400000 → `90m`. `parseDuration` reads it back. */
export function formatDuration(milliseconds: number): string {
  const unit = units.find(([, size]) => milliseconds >= size && milliseconds % size === 0);
  if (unit) return `${milliseconds / unit[1]}${unit[0]}`;
  return milliseconds === 0 ? '0s' : `${milliseconds}ms`;
}
