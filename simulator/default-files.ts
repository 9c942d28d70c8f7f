import { createHash } from 'node:crypto';
import type { FileSpec, JobView, JobWindow } from './options.ts';

/**
 * The files of a run when the scenario does not say: one to three, or a numbered set of two to four parts when
 * the job asks for a split. Number and sizes depend on the seed and the window only.
 */
export function defaultFiles(
  seed: string,
  [smallest, largest]: readonly [number, number],
  job: JobView,
  window: JobWindow,
): FileSpec[] {
  const dice = createHash('sha256')
    .update(JSON.stringify([seed, job.tenant, job.source, job.type, window.from, window.to, job.run]))
    .digest();
  const size = (n: number) =>
    smallest + Math.floor((dice.readUInt32BE(n * 4) / 0x1_0000_0000) * (largest - smallest + 1));
  const stem = `${job.source}-${job.type}-${stamp(window.from)}-${job.id.slice(0, 8)}${job.run > 0 ? `-${job.run}` : ''}`;
  const split = job.fileSplitSize !== undefined && Number(job.fileSplitSize) > 0;
  const count = split ? 2 + ((dice[30] ?? 0) % 3) : 1 + ((dice[30] ?? 0) % 3);
  return Array.from({ length: count }, (_, i) => ({
    name: split
      ? `${stem}-part-${padded(i + 1)}-of-${padded(count)}.zip.smime`
      : `${stem}${count > 1 ? `-${i + 1}` : ''}.zip.smime`,
    size: size(i),
  }));
}

const padded = (n: number) => String(n).padStart(4, '0');

function stamp(time: Date | undefined): string {
  return time ? time.toISOString().replace(/\D/g, '').slice(0, 12) : 'all';
}
