/** Folds what `node --cpu-prof` has written. See --help. */
import { foldNewest } from './fold.ts';

const [folder, title = 'CPU profile'] = process.argv.slice(2);
if (folder === undefined || folder === '--help') {
  console.log(`Folds the newest .cpuprofile of a folder into top-functions.txt and flame-graph.svg beside it.

Usage: node bench/profile/main.ts <folder> [title]

Example: node --cpu-prof --cpu-prof-dir=/tmp/profile src/cli/main.ts run && node bench/profile/main.ts /tmp/profile`);
  process.exitCode = folder === undefined ? 2 : 0;
} else {
  console.log((await foldNewest(folder, title)).table);
}
