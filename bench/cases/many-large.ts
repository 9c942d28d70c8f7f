import { join } from 'node:path';
import { errandArguments } from '../contenders/client.ts';
import { startDestination } from '../destination.ts';
import { waitForCalm } from '../machine.ts';
import { measure } from '../measure.ts';
import type { Measured } from '../measure.ts';
import { nodeFlags } from '../node-flags.ts';
import type { BenchOptions } from '../options.ts';
import { plotOverTime } from '../plot.ts';
import { skipped } from '../result.ts';
import type { CaseResult } from '../result.ts';
import { startServerProcess } from '../servers/server-process.ts';
import { clientEnvironment } from './client-environment.ts';

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;
/** `worker.memory`. */
const memoryBytes = 128 * MiB;
const peakBoundBytes = 300 * MiB;
/** Flat: how much higher the last quarter may be than the first. */
const growthBound = 1.1;
const sampleMs = 250;
/** Below this a quarter is not worth a median. */
const fewestSamples = 16;
/** Of the 8 GiB that it would hold, with room for what it has not yet thrown away. */
const cephHoldsBytes = 6 * GiB;
/**
 * What Node takes in a container of 1 GiB, which is the limit in deploy/: on a large machine it would let garbage lie
 * until there is ten times as much.
 */
const heapLimit = '--max-old-space-size=512';
const script = join(import.meta.dirname, '../contenders/ours.ts');

/** Many large files at once in one process with a small memory budget: what memory it takes, and whether it grows. */
export async function manyLarge(options: BenchOptions): Promise<CaseResult> {
  const kind = options.destination;
  const { files = 64, size = 256 * MiB } = options;
  const id = `many-large-${kind}`;
  const into = kind === 'null' ? 'the sink that keeps nothing' : 'Ceph RGW';
  const title = `${files} files of ${size / MiB} MiB at once into ${into}, worker.memory ${memoryBytes / MiB} MiB`;
  if (kind === 'ceph' && files * size > cephHoldsBytes)
    return skipped(
      id,
      title,
      `the Ceph of the tests keeps everything in memory, ${cephHoldsBytes / GiB} GiB.`,
    );
  const started = await startDestination(kind);
  if (!started) return skipped(id, title, 'Ceph is not installed.');
  await using destination = started;
  await using origin = await startServerProcess('origin.ts');
  const key = 'large';
  const url = `${origin.url}/${size}/${key}?X-Amz-Signature=0`;
  const calm = await waitForCalm(options);
  const run = await measure(
    [
      process.execPath,
      ...nodeFlags,
      heapLimit,
      script,
      ...errandArguments({ url, size, key, ...destination.address }),
      ...[String(files), String(memoryBytes)],
    ],
    { env: clientEnvironment(destination.address), sampleMs },
  );
  for (let index = 0; index < files; index++) {
    const stored = await destination.sizeOf(files === 1 ? key : `${key}-${index}`);
    if (stored !== size) throw new Error(`file ${index} was stored with ${stored} of ${size} bytes`);
  }

  const gib = (files * size) / GiB;
  const quarters = quarterMedians(run);
  const [first = 0, , , last = 0] = quarters;
  const mib = (bytes: number) => `${(bytes / MiB).toFixed(0)} MiB`;
  return {
    id,
    title,
    columns: [
      'wall s',
      'CPU s per GiB',
      'peak RSS',
      ...['1st', '2nd', '3rd', '4th'].map((name) => `${name} quarter`),
    ],
    rows: [
      [
        run.wallSeconds.toFixed(1),
        (run.cpuSeconds / gib).toFixed(2),
        mib(run.peakRssBytes),
        ...quarters.map(mib),
      ],
    ],
    plot: plotOverTime(
      run.rss.map(({ atMs, bytes }) => ({ at: atMs / 1000, value: bytes / MiB })),
      { unit: 'MiB', time: 's' },
    ),
    bars: [
      { what: 'Peak RSS', value: run.peakRssBytes / MiB, bound: peakBoundBytes / MiB, unit: 'MiB' },
      ...(run.rss.length < fewestSamples
        ? []
        : [
            {
              what: 'RSS of the last quarter against the first',
              value: last / first,
              bound: growthBound,
              unit: '×',
            },
          ]),
    ],
    remarks: [
      `Node had ${heapLimit}, which is what it takes by itself in a container of 1 GiB.`,
      `RSS was looked at every ${sampleMs} ms; a quarter's number is its median.`,
      ...(run.rss.length < fewestSamples ? ['It was over too soon to tell whether memory grows.'] : []),
      ...(calm ? [] : ['It began while something else kept the machine busy.']),
    ],
    data: {
      files,
      size,
      wallSeconds: run.wallSeconds,
      cpuSeconds: run.cpuSeconds,
      peakRssBytes: run.peakRssBytes,
      quarterMedians: quarters,
    },
  };
}

/** Median RSS in bytes of each quarter of the run. */
function quarterMedians({ rss }: Measured): number[] {
  return [0, 1, 2, 3].map((quarter) => {
    const start = Math.floor((rss.length * quarter) / 4);
    const part = rss.slice(start, Math.max(start + 1, Math.floor((rss.length * (quarter + 1)) / 4)));
    const sorted = part.map((sample) => sample.bytes).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  });
}
