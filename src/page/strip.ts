import { dayMs, slotsOf, tally } from './calendar.ts';
import type { Slot, Span } from './calendar.ts';
import type { Window } from '../jobs/windows.ts';
import { html } from './html.ts';
import type { Html } from './html.ts';

/** Units of the drawing: a day is a column, its hours go downwards. */
const columnWidth = 10;
const height = 24;

/**
 * A definition's windows as a strip: one column for each day of `view`, midnight (UTC) at its top. Neighbours of one
 * kind are one rectangle, so that a month of hours stays small.
 */
export function strip(label: string, view: Window, lengthMs: number, spans: readonly Span[]): Html {
  const slotMs = Math.min(dayMs, Math.max(lengthMs, 3_600_000));
  const slots = slotsOf(view, slotMs, spans);
  const perDay = dayMs / slotMs;
  const days = Math.ceil(slots.length / perDay);
  const columns = Array.from({ length: days }, (_, day) =>
    column(slots.slice(day * perDay, (day + 1) * perDay), day, perDay),
  );
  return html`<svg
    class="strip"
    role="img"
    aria-label="${label}: ${tally(spans)}"
    viewBox="0 0 ${days * columnWidth} ${height}"
    preserveAspectRatio="none"
  >
    ${columns}
  </svg>`;
}

function column(slots: readonly Slot[], day: number, perDay: number): Html {
  const x = day * columnWidth + 0.75;
  const width = columnWidth - 1.5;
  const unit = height / perDay;
  const rects: Html[] = [];
  for (let at = 0; at < slots.length;) {
    const kind = slots[at]?.kind;
    let end = at + 1;
    while (end < slots.length && slots[end]?.kind === kind) end += 1;
    rects.push(
      html`<rect
        class="${kind ?? 'none'}"
        x="${x}"
        y="${at * unit}"
        width="${width}"
        height="${(end - at) * unit}"
      />`,
    );
    at = end;
  }
  const spans = [...new Set(slots.flatMap((slot) => slot.spans))];
  return html`<g><title>${slots[0]?.from.toISOString().slice(0, 10)}: ${tally(spans)}</title>${rects}</g>`;
}
