import { UsageError } from '../errors.ts';
import { durationOf } from './arguments.ts';
import { pause } from './signals.ts';

const usualMs = 5000;
const leastMs = 1000;

/** The interval of `--watch [interval]` in ms; undefined: it was not asked for. */
export function watchInterval(value: string | boolean | undefined): number | undefined {
  if (value === undefined || value === false) return undefined;
  if (value === true) return usualMs;
  const ms = durationOf('--watch', value);
  if (ms < leastMs) throw new UsageError(`--watch is "${value}"; it must be at least 1s.`);
  return ms;
}

// Home, and clear from there: what was there before stays in the scroll-back.
const redraw = '\u001b[H\u001b[J';
const firstDraw = '\u001b[2J';

/** Calls `show` again and again until the signal aborts: on a terminal each time in the same place, else one below the other. */
export async function repeatedly(
  intervalMs: number,
  signal: AbortSignal,
  show: (first: boolean) => Promise<void>,
): Promise<void> {
  const inPlace = process.stdout.isTTY && process.env['TERM'] !== 'dumb';
  for (let first = true; !signal.aborted; first = false) {
    if (inPlace) process.stdout.write(first ? `${firstDraw}${redraw}` : redraw);
    await show(first);
    await pause(intervalMs, signal);
  }
}
