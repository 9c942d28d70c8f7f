/**
 * The simulated upstream of the bench, a process of its own: every job makes so many files of so many bytes.
 * Arguments: the number of files, the bytes of each.
 */
import { startSimulator } from '../../simulator/server.ts';

const [files = '1', size = '0'] = process.argv.slice(2);
const simulator = await startSimulator({
  seed: 'bench',
  // An export takes half a second.
  speed: 60,
  exportDuration: 30_000,
  filesFor: (job) =>
    Array.from({ length: Number(files) }, (_, index) => ({
      name: `${job.id}-${String(index).padStart(6, '0')}.zip.smime`,
      size: Number(size),
    })),
});
console.log(simulator.baseUrl);
process.stdin.once('close', () => void simulator.close()).resume();
