import { copyFile, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { measure } from '../measure.ts';
import type { MeasureOptions } from '../measure.ts';
import { foldNewest } from './fold.ts';

/** Put after `node` in a command: samples twice a millisecond, and writes into the folder when the process ends. */
export function profilerFlags(folder: string): string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${resolve(folder)}`, '--cpu-prof-interval=500'];
}

/**
 * Runs a Node command once more under V8's profiler and folds what it wrote. Its times are nobody's result.
 *
 * @param command with Node as its first word
 * @param drawing where to copy the flame graph to, if anywhere else
 */
export async function profileOnce(
  [node = '', ...rest]: readonly string[],
  options: MeasureOptions,
  folder: string,
  title: string,
  drawing?: string,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  await measure([node, ...profilerFlags(folder), ...rest], options);
  const { table } = await foldNewest(folder, title);
  if (drawing !== undefined) await copyFile(join(folder, 'flame-graph.svg'), drawing);
  return table;
}
