import type { RunState } from '../store/runs.ts';
import type { WindowRow } from '../store/overview.ts';
import { cut, subtract } from '../jobs/windows.ts';
import type { Window } from '../jobs/windows.ts';

/** How a window stands, for the eye. `missing`: due, and no run has it. */
export const kinds = ['failed', 'missing', 'running', 'cancelled', 'done'] as const;
export type Kind = (typeof kinds)[number];

/** A window as the calendar shows it. */
export interface Span extends Window {
  readonly kind: Kind;
  /** Absent for one that is missing. */
  readonly run?: number;
  readonly state?: RunState;
}

export function kindOf(state: RunState): Kind {
  if (state === 'done' || state === 'failed' || state === 'cancelled') return state;
  // Stored is not done: something is still to be deleted upstream.
  return 'running';
}

/**
 * Every window of a definition that touches `view`, those that no run has included, by time.
 *
 * @param owed the stretch in which every window is due; undefined: nothing is
 */
export function spansOf(
  view: Window,
  runs: readonly WindowRow[],
  owed: Window | undefined,
  lengthMs: number,
): Span[] {
  const spans: Span[] = runs.map(({ id, from, to, state }) => ({
    from,
    to,
    kind: kindOf(state),
    run: id,
    state,
  }));
  const from = owed && (owed.from > view.from ? owed.from : view.from);
  const to = owed && (owed.to < view.to ? owed.to : view.to);
  if (from && to && from < to)
    for (const gap of subtract({ from, to }, runs))
      for (const window of cut(gap, lengthMs)) spans.push({ ...window, kind: 'missing' });
  return spans.sort((a, b) => a.from.getTime() - b.from.getTime());
}

export interface Slot extends Window {
  /** The worst of the windows in it; undefined: there is none. */
  readonly kind: Kind | undefined;
  readonly spans: readonly Span[];
}

/** Cuts `view` into slots of equal length and says what is in each. `spans` by time. */
export function slotsOf(view: Window, slotMs: number, spans: readonly Span[]): Slot[] {
  const begin = view.from.getTime();
  const slots = Array.from({ length: Math.ceil((view.to.getTime() - begin) / slotMs) }, () => [] as Span[]);
  for (const span of spans) {
    const first = Math.max(0, Math.floor((span.from.getTime() - begin) / slotMs));
    const last = Math.min(slots.length - 1, Math.ceil((span.to.getTime() - begin) / slotMs) - 1);
    for (let at = first; at <= last; at += 1) slots[at]?.push(span);
  }
  return slots.map((within, at) => ({
    from: new Date(begin + at * slotMs),
    to: new Date(begin + (at + 1) * slotMs),
    kind: kinds.find((kind) => within.some((span) => span.kind === kind)),
    spans: within,
  }));
}

/** How many windows are of each kind, in words: `23 done, 1 failed`. */
export function tally(spans: readonly Span[]): string {
  const words = kinds
    .toReversed()
    .map((kind) => ({ kind, n: spans.filter((span) => span.kind === kind).length }))
    .filter(({ n }) => n > 0)
    .map(({ kind, n }) => `${n} ${kindWords[kind]}`);
  return words.join(', ') || 'no window';
}

export const kindWords: Readonly<Record<Kind, string>> = {
  done: 'done',
  running: 'under way',
  failed: 'failed',
  cancelled: 'cancelled',
  missing: 'missing',
};

export const dayMs = 86_400_000;

/** Midnight (UTC) at or before an instant. */
export function dayOf(instant: Date): Date {
  return new Date(Math.floor(instant.getTime() / dayMs) * dayMs);
}

/** The month that `2026-11` names, in UTC; undefined if it names none. */
export function monthNamed(text: string): Window | undefined {
  const [, year = '', month = ''] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(text) ?? [];
  if (year === '' || Number(year) < 1970) return undefined;
  return {
    from: new Date(Date.UTC(Number(year), Number(month) - 1)),
    to: new Date(Date.UTC(Number(year), Number(month))),
  };
}

/** The month an instant lies in, as `2026-11`. */
export function monthOf(instant: Date): string {
  return instant.toISOString().slice(0, 7);
}
