const columns = 72;
const rows = 8;

/** Draws a value over time in characters: each column shows the highest value of its stretch of time. */
export function plotOverTime(
  points: readonly { readonly at: number; readonly value: number }[],
  labels: { readonly unit: string; readonly time: string },
): string {
  const end = Math.max(...points.map((point) => point.at), 0);
  const most = Math.max(...points.map((point) => point.value), 0);
  if (end === 0 || most === 0) return 'nothing to draw';
  const highest = Array.from({ length: columns }, () => 0);
  for (const { at, value } of points) {
    const column = Math.min(columns - 1, Math.floor((at / end) * columns));
    highest[column] = Math.max(highest[column] ?? 0, value);
  }
  const scale = `${most.toFixed(0)} ${labels.unit}`;
  const lines = Array.from({ length: rows }, (_, line) => {
    const level = (most * (rows - line - 0.5)) / rows;
    const label = line === 0 ? scale : line === rows - 1 ? '0' : '';
    return `${label.padStart(scale.length)} |${highest.map((value) => (value >= level ? '█' : ' ')).join('')}`.trimEnd();
  });
  return [
    ...lines,
    `${' '.repeat(scale.length)} +${'-'.repeat(columns)} ${end.toFixed(0)} ${labels.time}`,
  ].join('\n');
}
