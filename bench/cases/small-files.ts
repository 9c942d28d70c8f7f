import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { stringify } from 'yaml';
import { z } from 'zod';
import { createLogger } from '../../src/log.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded-postgres.ts';
import { rcloneCopy, rcloneProgram } from '../contenders/list.ts';
import { startDestination } from '../destination.ts';
import type { Destination } from '../destination.ts';
import { waitForCalm } from '../machine.ts';
import { measure } from '../measure.ts';
import type { Measured } from '../measure.ts';
import { nodeFlags } from '../node-flags.ts';
import type { BenchOptions } from '../options.ts';
import { foldNewest } from '../profile/fold.ts';
import { profilerFlags } from '../profile/run.ts';
import { skipped } from '../result.ts';
import type { CaseResult } from '../result.ts';
import { startServerProcess } from '../servers/server-process.ts';
import { clientEnvironment } from './client-environment.ts';
import { smallFilesConfig, transfersAtOnce } from './small-files-config.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const mostPeerFiles = 500;
const timesFaster = 5;
const main = join(import.meta.dirname, '../../src/cli/main.ts');

/** Many small files through everything: upstream API, queue, Postgres, S3, proof, deletion upstream. */
export async function smallFiles(options: BenchOptions): Promise<CaseResult> {
  const kind = options.destination;
  const { files = 5000, size = 64 * KiB } = options;
  const id = `small-files-${kind}`;
  const into = kind === 'null' ? 'the sink that keeps nothing' : 'Ceph RGW';
  const title = `${files} files of ${(size / KiB).toFixed(0)} KiB through the whole pipeline into ${into}`;
  const started = await startDestination(kind);
  if (!started) return skipped(id, title, 'Ceph is not installed.');
  await using destination = started;
  const ours = await runWorker(destination, files, size, options);
  options.progress(`udm-sync: ${perSecond(files, ours.pipelineSeconds)} files a second`);
  await destination.clear();
  const peer = options.peers
    ? await runRclone(destination, Math.min(files, mostPeerFiles), size, options)
    : undefined;

  const rates = {
    ours: files / ours.pipelineSeconds,
    peer: peer && peer.files / peer.run.wallSeconds,
  };
  const calm = ours.calm && (peer?.calm ?? true);
  return {
    id,
    title,
    columns: ['contender', 'files', 'wall s', 'files per s', 'CPU ms per file', 'peak RSS'],
    rows: [
      row('udm-sync, first transfer to last deletion', files, ours.pipelineSeconds, ours.run),
      row('udm-sync, whole process', files, ours.run.wallSeconds, ours.run),
      peer === undefined
        ? ['rclone copyurl', options.peers ? 'skipped: rclone is not installed' : 'left out', '', '', '', '']
        : row(`rclone copyurl, ${transfersAtOnce} at a time`, peer.files, peer.run.wallSeconds, peer.run),
    ],
    bars:
      rates.peer === undefined
        ? []
        : [
            {
              what: 'Files per second against rclone copyurl',
              value: rates.ours / rates.peer,
              bound: timesFaster,
              atLeast: true,
              unit: '×',
            },
          ],
    remarks: [
      `One worker with ${transfersAtOnce} transfers at once; a durable Postgres, the simulated upstream and the S3 server on the same machine. CPU is the worker's alone, for the whole process.`,
      ...(calm ? [] : ['It began while something else kept the machine busy.']),
    ],
    data: {
      files,
      size,
      filesPerSecond: rates.ours,
      pipelineSeconds: ours.pipelineSeconds,
      runSeconds: ours.runSeconds,
      wallSeconds: ours.run.wallSeconds,
      cpuSeconds: ours.run.cpuSeconds,
      peakRssBytes: ours.run.peakRssBytes,
      peer: peer && {
        files: peer.files,
        filesPerSecond: rates.peer,
        wallSeconds: peer.run.wallSeconds,
        cpuSeconds: peer.run.cpuSeconds,
      },
    },
  };
}

interface WorkerRun {
  readonly run: Measured;
  /** From the first file's transfer to the last file's deletion upstream, by the history in Postgres. */
  readonly pipelineSeconds: number;
  /** From the planning of the window to its end. */
  readonly runSeconds: number;
  readonly calm: boolean;
}

async function runWorker(
  destination: Destination,
  files: number,
  size: number,
  options: BenchOptions,
): Promise<WorkerRun> {
  const folder = await mkdtemp(join(tmpdir(), 'udm-sync-bench-'));
  // As root, PostgreSQL runs as another user, who must be able to pass.
  await chmod(folder, 0o711);
  const postgres = await startEmbeddedPostgres({
    dataDir: join(folder, 'postgres'),
    logger: createLogger('silent'),
  });
  try {
    await using upstream = await startServerProcess('upstream.ts', String(files), String(size));
    const config = join(folder, 'udm-sync.yaml');
    await writeFile(config, stringify(smallFilesConfig(postgres.url, upstream.url, destination.address)), {
      mode: 0o600,
    });
    const { profile } = options;
    if (profile !== undefined) await mkdir(profile, { recursive: true });
    const calm = await waitForCalm(options);
    const run = await measure(
      [
        process.execPath,
        ...nodeFlags,
        ...(profile === undefined ? [] : profilerFlags(profile)),
        main,
        'run',
        '-c',
        config,
      ],
      { env: clientEnvironment(destination.address) },
    );
    if (profile !== undefined)
      options.progress((await foldNewest(profile, `udm-sync, ${files} small files`)).table);
    return { run, calm, ...(await readTimes(postgres.url, files)) };
  } finally {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

const timesRow = z.object({
  pipeline_seconds: z.number(),
  run_seconds: z.number(),
  deleted: z.number(),
  done: z.number(),
});

/** @throws Error when not every file was verified and deleted upstream */
async function readTimes(
  url: string,
  files: number,
): Promise<{ pipelineSeconds: number; runSeconds: number }> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query(`
      select
        extract(epoch from max(at) filter (where to_state = 'deleted')
          - min(at) filter (where to_state = 'transferring'))::float8 as pipeline_seconds,
        (count(*) filter (where to_state = 'deleted'))::int as deleted,
        (select extract(epoch from max(finished_at) - min(created_at))::float8 from udm_sync.runs) as run_seconds,
        (select count(*)::int from udm_sync.runs where state = 'done') as done
      from udm_sync.history
      where subject = 'file'`);
    const times = timesRow.parse(rows[0]);
    if (times.deleted !== files || times.done !== 1)
      throw new Error(`${times.deleted} of ${files} files went through, in ${times.done} runs`);
    return { pipelineSeconds: times.pipeline_seconds, runSeconds: times.run_seconds };
  } finally {
    await client.end();
  }
}

interface PeerRun {
  readonly run: Measured;
  readonly files: number;
  readonly calm: boolean;
}

/** `rclone copyurl` once a file, as many at a time as ours; undefined where rclone is not installed. */
async function runRclone(
  destination: Destination,
  files: number,
  size: number,
  options: BenchOptions,
): Promise<PeerRun | undefined> {
  const program = await rcloneProgram();
  if (program === undefined) return undefined;
  await using origin = await startServerProcess('origin.ts');
  const { endpoint, bucket } = destination.address;
  const each = rcloneCopy(program, endpoint, `${origin.url}/${size}/{}.bin`, `${bucket}/small/{}.bin`);
  const calm = await waitForCalm(options);
  const run = await measure(
    [
      ...['bash', '-c', 'set -o pipefail; seq "$1" | xargs -P "$2" -I{} "${@:3}"', 'rclone'],
      ...[String(files), String(transfersAtOnce), ...each],
    ],
    { env: clientEnvironment(destination.address) },
  );
  for (const index of [1, files]) await destination.sizeOf(`small/${index}.bin`);
  return { run, files, calm };
}

function row(name: string, files: number, wallSeconds: number, run: Measured): string[] {
  return [
    name,
    String(files),
    wallSeconds.toFixed(1),
    perSecond(files, wallSeconds),
    ((run.cpuSeconds * 1000) / files).toFixed(1),
    `${(run.peakRssBytes / MiB).toFixed(0)} MiB`,
  ];
}

function perSecond(files: number, seconds: number): string {
  return (files / seconds).toFixed(0);
}
