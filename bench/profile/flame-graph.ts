import type { Frame } from './cpu-profile.ts';

const width = 1200;
const rowHeight = 16;
const headHeight = 44;
/** What is narrower is not drawn: it could not be seen, and there is a lot of it. */
const leastWidth = 0.8;
const letterWidth = 6.2;

const colours: Readonly<Record<Frame['origin'], string>> = {
  ours: '#f4a261',
  library: '#8ab17d',
  node: '#7fb3d5',
  engine: '#c9c9c9',
};
const legend: readonly (readonly [Frame['origin'], string])[] = [
  ['ours', 'udm-sync'],
  ['library', 'packages'],
  ['node', 'Node’s JavaScript'],
  ['engine', 'V8 and native code'],
];

/** Draws a folded profile: a call below its caller, as wide as its share of the time. Shares show on hovering. */
export function flameGraph(tree: Frame, title: string): string {
  const shapes: string[] = [];
  let deepest = 0;

  function draw(frame: Frame, depth: number, x: number): void {
    const wide = (frame.total / tree.total) * width;
    if (wide < leastWidth) return;
    deepest = Math.max(deepest, depth);
    const y = headHeight + depth * rowHeight;
    const place = frame.place === '' ? '' : ` (${frame.place})`;
    const share = `${((frame.total / tree.total) * 100).toFixed(1)} %, itself ${((frame.self / tree.total) * 100).toFixed(1)} %`;
    const letters = Math.floor((wide - 4) / letterWidth);
    const label = letters < 3 ? '' : shorten(frame.name + place, letters);
    shapes.push(
      `<g><title>${escape(`${frame.name}${place}: ${share}`)}</title>` +
        `<rect x="${x.toFixed(1)}" y="${y}" width="${wide.toFixed(1)}" height="${rowHeight - 1}" fill="${colours[frame.origin]}"/>` +
        `${label === '' ? '' : `<text x="${(x + 2).toFixed(1)}" y="${y + 11}">${escape(label)}</text>`}</g>`,
    );
    let at = x;
    for (const child of [...frame.children.values()].sort((a, b) => b.total - a.total)) {
      draw(child, depth + 1, at);
      at += (child.total / tree.total) * width;
    }
  }
  draw(tree, 0, 0);

  const height = headHeight + (deepest + 1) * rowHeight + 4;
  const keys = legend.map(
    ([origin, text], index) =>
      `<rect x="${4 + index * 160}" y="24" width="10" height="10" fill="${colours[origin]}"/><text x="${18 + index * 160}" y="33">${text}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="10">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="4" y="16" font-size="13">${escape(title)}</text>`,
    ...keys,
    ...shapes,
    '</svg>\n',
  ].join('\n');
}

function shorten(text: string, letters: number): string {
  return text.length <= letters ? text : `${text.slice(0, letters - 1)}…`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
