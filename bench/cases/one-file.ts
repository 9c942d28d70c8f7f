import { join } from 'node:path';
import { z } from 'zod';
import type { Contender } from '../contenders/list.ts';
import { contenders } from '../contenders/list.ts';
import type { Errand } from '../contenders/client.ts';
import { startDestination } from '../destination.ts';
import { waitForCalm } from '../machine.ts';
import { measure } from '../measure.ts';
import type { Measured } from '../measure.ts';
import type { BenchOptions } from '../options.ts';
import { profileOnce } from '../profile/run.ts';
import { skipped } from '../result.ts';
import type { Bar, CaseResult } from '../result.ts';
import { startServerProcess } from '../servers/server-process.ts';
import { clientEnvironment } from './client-environment.ts';

const GiB = 1024 ** 3;
const MiB = 1024 ** 2;
const warmUpBytes = 16 * MiB;
const flameGraphFile = join(import.meta.dirname, '../../docs/profile-one-file.svg');

interface Turn {
  readonly contender: Contender;
  readonly run: Measured;
  /** Whether the machine was idle when it began. */
  readonly calm: boolean;
  /** CPU seconds of origin and sink. */
  readonly serverSeconds: number;
}

/** The best of a contender's runs, each number by itself: what disturbs a run only ever adds. */
interface Best {
  readonly contender: Contender;
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** CPU seconds until the first request; undefined for programs that do not tell. */
  readonly startCpuSeconds: number | undefined;
  readonly peakRssBytes: number;
  readonly runs: readonly Measured[];
}

/** One file from an HTTP origin into S3, by each contender in turn, `runs` times round. */
export async function oneFile(options: BenchOptions): Promise<CaseResult> {
  const kind = options.destination;
  const size = options.size ?? GiB;
  const id = `one-file-${kind}`;
  const title = `One file of ${show(size)} into ${kind === 'null' ? 'the sink that keeps nothing' : 'Ceph RGW'}`;
  const started = await startDestination(kind);
  if (!started) return skipped(id, title, 'Ceph is not installed.');
  await using destination = started;
  await using origin = await startServerProcess('origin.ts');
  const all = await contenders(options);
  const errandOf = (key: string, bytes: number): Errand => ({
    url: `${origin.url}/${bytes}/${key}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=300&X-Amz-Signature=0`,
    size: bytes,
    key,
    ...destination.address,
  });
  const serverSeconds = () => origin.cpuSeconds() + (destination.cpuSeconds() ?? 0);
  const env = clientEnvironment(destination.address);

  async function bring(contender: Contender, bytes: number): Promise<Measured> {
    const errand = errandOf(`${contender.id}.bin`, bytes);
    const run = await measure(contender.command(errand), { env });
    const stored = await destination.sizeOf(errand.key);
    if (stored !== bytes) throw new Error(`${contender.name} stored ${stored} of ${bytes} bytes`);
    await destination.clear();
    return run;
  }

  const able = all.filter((contender) => contender.missing === undefined);
  // Not measured: fills the compile cache, and finds out whether everybody can do it at all.
  for (const contender of able) await bring(contender, warmUpBytes);
  const turns: Turn[] = [];
  for (let round = 0; round < options.runs; round++)
    for (const contender of rotated(able, round)) {
      const calm = await waitForCalm(options);
      const before = serverSeconds();
      const run = await bring(contender, size);
      turns.push({ contender, run, calm, serverSeconds: serverSeconds() - before });
      options.progress(
        `${contender.name}: ${run.wallSeconds.toFixed(2)} s, CPU ${run.cpuSeconds.toFixed(2)} s`,
      );
    }
  const ours = all.find((contender) => contender.id === 'ours');
  if (options.profile !== undefined && ours) {
    const drawing = options.write && kind === 'null' ? [flameGraphFile] : [];
    const about = `udm-sync, one file of ${show(size)}`;
    const command = ours.command(errandOf('profiled.bin', size));
    options.progress(await profileOnce(command, { env }, options.profile, about, ...drawing));
  }

  const bests = able.map((contender) => best(contender, turns));
  return {
    id,
    title,
    columns: ['contender', 'wall s', 'CPU s per GiB', 'of it start', 'peak RSS'],
    rows: all.map((contender) => rowOf(contender, bests, size)),
    bars: barsOf(bests),
    remarks: remarksOn(turns, options),
    data: bests.map(({ contender, runs, ...numbers }) => ({
      id: contender.id,
      name: contender.name,
      ...numbers,
      runs: runs.map(({ wallSeconds, cpuSeconds, peakRssBytes }) => ({
        wallSeconds,
        cpuSeconds,
        peakRssBytes,
      })),
    })),
  };
}

/** Each round begins with another one, so that nobody always comes after the same neighbour. */
function rotated<T>(items: readonly T[], by: number): T[] {
  const at = by % Math.max(items.length, 1);
  return [...items.slice(at), ...items.slice(0, at)];
}

function remarksOn(turns: readonly Turn[], { runs, destination }: BenchOptions): string[] {
  const servers = turns.map((turn) => turn.serverSeconds);
  const restless = turns.filter((turn) => !turn.calm).length;
  return [
    `The least of ${runs} runs of each, interleaved. "Start" is what a Node client used before its first request; a worker starts once.`,
    destination === 'null'
      ? `Origin and sink together used ${Math.min(...servers).toFixed(2)} to ${Math.max(...servers).toFixed(2)} CPU s a run, on the same machine.`
      : 'Ceph works on the same machine, so that wall times are for the most part its own.',
    ...(restless === 0
      ? []
      : [`${restless} of ${turns.length} runs began while something else kept the machine busy.`]),
  ];
}

const said = z.object({ startCpuSeconds: z.number() });

function best(contender: Contender, turns: readonly Turn[]): Best {
  const runs = turns.filter((turn) => turn.contender === contender).map((turn) => turn.run);
  const least = (of: (run: Measured) => number) => Math.min(...runs.map(of));
  const starts = runs.flatMap((run) =>
    run.stdout.startsWith('{') ? [said.parse(JSON.parse(run.stdout)).startCpuSeconds] : [],
  );
  return {
    contender,
    wallSeconds: least((run) => run.wallSeconds),
    cpuSeconds: least((run) => run.cpuSeconds),
    startCpuSeconds: starts.length === 0 ? undefined : Math.min(...starts),
    peakRssBytes: least((run) => run.peakRssBytes),
    runs,
  };
}

function rowOf(contender: Contender, bests: readonly Best[], size: number): string[] {
  const found = bests.find((each) => each.contender === contender);
  if (!found) return [contender.name, `skipped: ${contender.missing ?? ''}`, '', '', ''];
  const perGiB = (seconds: number) => ((seconds * GiB) / size).toFixed(2);
  return [
    contender.name,
    found.wallSeconds.toFixed(2),
    perGiB(found.cpuSeconds),
    found.startCpuSeconds === undefined ? '' : perGiB(found.startCpuSeconds),
    `${(found.peakRssBytes / MiB).toFixed(0)} MiB`,
  ];
}

function barsOf(bests: readonly Best[]): Bar[] {
  const of = (id: Contender['id']) => bests.find(({ contender }) => contender.id === id);
  const [floor, aws, rclone] = [of('floor'), of('curl-aws'), of('rclone')];
  const ways = [of('ours'), of('ours-unsigned')].filter((way) => way !== undefined);
  return ways.flatMap((ours) => {
    const compare = (what: string, bound: number, value: (best: Best) => number, other: Best | undefined) =>
      other
        ? [{ what: `${ours.contender.name}: ${what}`, value: value(ours) / value(other), bound, unit: '×' }]
        : [];
    return [
      ...compare('CPU against the floor, whole processes', 1.3, (each) => each.cpuSeconds, floor),
      ...compare('CPU against the floor, without their starts', 1.3, movingSeconds, floor),
      ...compare('wall time against curl into aws s3 cp', 0.6, (each) => each.wallSeconds, aws),
      ...compare('wall time against rclone copyurl', 0.3, (each) => each.wallSeconds, rclone),
    ];
  });
}

function movingSeconds({ cpuSeconds, startCpuSeconds = 0 }: Best): number {
  return cpuSeconds - startCpuSeconds;
}

function show(bytes: number): string {
  return bytes % GiB === 0 ? `${bytes / GiB} GiB` : `${(bytes / MiB).toFixed(0)} MiB`;
}
