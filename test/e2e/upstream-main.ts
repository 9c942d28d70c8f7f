/**
 * The simulated upstream as a process of its own, which outlives every worker: prints its URL, is driven over
 * /_sim/, and ends when its stdin does. The definition decides what files a job makes.
 */
import { startSimulator } from '../../simulator/server.ts';
import type { FileSpec, JobView, JobWindow } from '../../simulator/server.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

function filesFor(job: JobView, { from }: JobWindow): FileSpec[] {
  // People's jobs have titles of their own, and no window that we know: each run has two files, one of them large.
  if (!job.title.includes('udm-sync'))
    return [
      { name: `${job.id}-${job.run}.zip.smime`, size: 1000 + job.run },
      { name: `big-${job.id}-${job.run}.zip.smime`, size: (job.run % 3 === 0 ? 12 * MiB : KiB) + job.run },
    ];
  const at = from ?? new Date(0);
  const definition = /udm-sync (\S+)/.exec(job.title)?.[1] ?? '';
  // Of its own in every window: upstream, one name is one file.
  const stem = `${definition}-${at.toISOString().replaceAll(/[:.]/g, '')}`;
  if (definition === 'dotted')
    return [
      // No path can carry it, and no list.
      { name: `../${stem},1.smime`, size: 10 },
      { name: `${stem}.smime`, size: 10 },
    ];
  // In two parts of at least 5 MiB.
  if (definition.startsWith('large')) return [{ name: `${stem}.smime`, size: 5 * MiB + 1 }];
  if (definition === 'long') return [{ name: `${stem}.smime`, size: 22 * MiB }];
  if (job.source === 'iWD') return oddFiles(stem, at);
  if (job.fileSplitSize === undefined)
    return [{ name: `${stem}.zip.smime`, size: 700 + ((at.getTime() / 60_000) % 40_000) }];
  return [1, 2, 3].map((part) => ({
    name: `${stem}-part-000${part}-of-0003.zip.smime`,
    size: part < 3 ? 300 * KiB + part : 7 * KiB,
  }));
}

function oddFiles(stem: string, at: Date): FileSpec[] {
  const names = [
    `${stem} 100% + a&b=c;d?e#f.zip.smime`,
    `one, two,three ${stem}.smime`,
    `folder/sub folder/${stem}.smime`,
    `back\\slash ~tilde ${stem}.smime`,
    `Übergröße 日本語 😀 ${stem}.smime`,
    `..%2F..%2e%2e ${stem}.smime`,
    ` blanks around ${stem} `,
    'x'.repeat(1000 - stem.length) + stem,
  ];
  const files = names.map((name, index) => ({ name, size: 1 + index * 3 * KiB }));
  files.push({ name: `zero-${stem}.smime`, size: 0 });
  // More than two parts of 5 MiB, once an hour.
  if (at.getUTCMinutes() === 0) files.push({ name: `big-${stem}.smime`, size: 12 * MiB + 1 });
  return files;
}

const [logFile = ''] = process.argv.slice(2);
const simulator = await startSimulator({
  // An export takes half a second.
  speed: 60,
  exportDuration: 30_000,
  maxPageSize: 4,
  shape: 'mixed',
  filesFor,
  logFile,
});
console.log(simulator.baseUrl);
process.stdin.once('close', () => void simulator.close()).resume();
