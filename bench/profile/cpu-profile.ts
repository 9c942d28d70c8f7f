import { isAbsolute, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const root = join(import.meta.dirname, '../..');

/** A function at a place in the call tree, with the time spent in it. */
export interface Frame {
  readonly name: string;
  /** `src/transfer/transfer.ts:256`, `node:net`, `@smithy/core`, or empty for V8's own. */
  readonly place: string;
  readonly origin: 'ours' | 'library' | 'node' | 'engine';
  /** Microseconds in the function itself. */
  self: number;
  /** Microseconds in it and in all that it called. */
  total: number;
  readonly children: Map<string, Frame>;
}

/** What `node --cpu-prof` writes, as far as it is needed. */
const profileSchema = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.number() }),
      children: z.array(z.number()).optional(),
    }),
  ),
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
});

/**
 * Folds a .cpuprofile into one tree of functions. The time in which the process had nothing to do is left out.
 *
 * @param json the content of the file
 */
export function foldProfile(json: string): Frame {
  const { nodes, samples, timeDeltas } = profileSchema.parse(JSON.parse(json));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const selfOf = new Map<number, number>();
  samples.forEach((id, index) => {
    selfOf.set(id, (selfOf.get(id) ?? 0) + Math.max(0, timeDeltas[index] ?? 0));
  });
  const top: Frame = { name: 'all', place: '', origin: 'engine', self: 0, total: 0, children: new Map() };

  function add(id: number, parent: Frame): number {
    const node = byId.get(id);
    if (!node || node.callFrame.functionName === '(idle)') return 0;
    const { functionName, url, lineNumber } = node.callFrame;
    const { place, origin } = whereIs(url, lineNumber);
    const name = functionName === '' ? '(anonymous)' : functionName;
    const key = `${name} ${place}`;
    let frame = parent.children.get(key);
    if (!frame)
      parent.children.set(key, (frame = { name, place, origin, self: 0, total: 0, children: new Map() }));
    const self = selfOf.get(id) ?? 0;
    let total = self;
    for (const child of node.children ?? []) total += add(child, frame);
    frame.self += self;
    frame.total += total;
    return total;
  }

  const [first] = nodes;
  for (const child of first?.children ?? []) top.total += add(child, top);
  return top;
}

/** A function with the time spent in itself, wherever it was called from. */
export interface FunctionTime {
  readonly name: string;
  readonly place: string;
  /** Microseconds. */
  readonly self: number;
}

/** The functions that used most time themselves, most first. */
export function topFunctions(tree: Frame, most: number): FunctionTime[] {
  const times = new Map<string, { name: string; place: string; self: number }>();
  const visit = (frame: Frame) => {
    const key = `${frame.name} ${frame.place}`;
    const known = times.get(key) ?? { name: frame.name, place: frame.place, self: 0 };
    known.self += frame.self;
    times.set(key, known);
    for (const child of frame.children.values()) visit(child);
  };
  visit(tree);
  return [...times.values()].sort((a, b) => b.self - a.self).slice(0, most);
}

/** Where a function is, without naming anything of this machine. */
function whereIs(url: string, line: number): Pick<Frame, 'place' | 'origin'> {
  if (url === '') return { place: '', origin: 'engine' };
  if (url.startsWith('node:')) return { place: url, origin: 'node' };
  const path = url.startsWith('file:') ? fileURLToPath(url) : url;
  const packaged = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(path)?.[1];
  if (packaged !== undefined) return { place: packaged, origin: 'library' };
  const inside = relative(root, path);
  const shown = inside.startsWith('..') || isAbsolute(inside) ? 'elsewhere' : inside;
  return { place: `${shown}:${line + 1}`, origin: 'ours' };
}
