import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { foldProfile, topFunctions } from './cpu-profile.ts';
import { flameGraph } from './flame-graph.ts';

const shown = 30;

/**
 * Folds the newest .cpuprofile of a folder into `top-functions.txt` and `flame-graph.svg` beside it.
 *
 * @returns the table and the drawing
 */
export async function foldNewest(
  folder: string,
  title: string,
): Promise<{ readonly table: string; readonly svg: string }> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.cpuprofile'));
  const dated = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(folder, name))).mtimeMs })),
  );
  const [newest] = dated.sort((a, b) => b.at - a.at);
  if (!newest) throw new Error(`there is no .cpuprofile in ${folder}`);
  const tree = foldProfile(await readFile(join(folder, newest.name), 'utf8'));
  const table = topFunctions(tree, shown)
    .map(({ name, place, self }) => {
      const share = ((self / tree.total) * 100).toFixed(1).padStart(5);
      return `${share} %  ${(self / 1000).toFixed(0).padStart(6)} ms  ${name}  ${place}`;
    })
    .join('\n');
  const svg = flameGraph(tree, `${title}: ${(tree.total / 1e6).toFixed(2)} s in which it was not idle`);
  await writeFile(join(folder, 'top-functions.txt'), `${table}\n`);
  await writeFile(join(folder, 'flame-graph.svg'), svg);
  return { table, svg };
}
