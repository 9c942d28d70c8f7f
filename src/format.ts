/** How the command line and the status page write numbers and times. */

/** A number with its noun: `1 file`, `2 files`. */
export function counted(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/** Bytes for people: `0 B`, `1.5 MiB`. */
export function humanBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** A duration in ms for people: `45s`, `3m 20s`, `2h 5m`, `4d 3h`. */
export function humanDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [d, h, m, s] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
    seconds % 60,
  ];
  if (d > 0) return h > 0 ? `${d}d ${h}h` : `${d}d`;
  if (h > 0) return m > 0 ? `${h}h ${m}m` : `${h}h`;
  if (m > 0) return s > 0 ? `${m}m ${s}s` : `${m}m`;
  return `${s}s`;
}

/** An instant in UTC to the second, `2026-01-31T00:00:00Z`; a dash for none. */
export function utc(instant: Date | null | undefined): string {
  return instant ? instant.toISOString().replace(/\.\d+Z$/, 'Z') : '-';
}

/** A window as `from → to`, without what both ends have in common. */
export function showWindow(from: Date, to: Date): string {
  return `${utc(from).replace(':00Z', 'Z')} → ${utc(to).replace(':00Z', 'Z')}`;
}
