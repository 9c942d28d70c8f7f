import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { memoryBelow } from './process-tree.ts';

/** What one command cost, with every process it started and waited for. */
export interface Measured {
  readonly wallSeconds: number;
  /** User and system, of all its processes. */
  readonly cpuSeconds: number;
  /** Bytes: the largest sum of its processes' own peaks, as looked at every `sampleMs`. */
  readonly peakRssBytes: number;
  /** Bytes resident at each look. */
  readonly rss: readonly { readonly atMs: number; readonly bytes: number }[];
  readonly stdout: string;
}

export interface MeasureOptions {
  /** The whole environment: nothing of ours is passed on. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Time between two looks at memory, in ms. Default 50. */
  readonly sampleMs?: number;
}

/** The command's stderr goes to descriptor 4; the shell's own, with the times that getrusage gave it, to 3. */
const timed = 'TIMEFORMAT="%3R %3U %3S"; { time "$@" 2>&4 3>&- 4>&-; } 2>&3';

/**
 * Runs a command to its end and measures it. CPU and wall time are those of bash's `time`: getrusage of the child and
 * of all that it has waited for. Memory is read from /proc, since getrusage knows only the largest single process.
 *
 * @throws Error when the command fails, with the end of what it said
 */
export async function measure(command: readonly string[], options: MeasureOptions): Promise<Measured> {
  const child = spawn('bash', ['-c', timed, 'bench', ...command], {
    env: options.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  const [stdout, shell, times, stderr] = [1, 2, 3, 4].map((fd) => text(pipeOf(child, fd)));
  const memory = watchMemory(child, options.sampleMs ?? 50);
  await once(child, 'close').finally(memory.stop);
  const said = `${(await shell) ?? ''}${(await stderr) ?? ''}`;
  if (child.exitCode !== 0)
    throw new Error(
      `${command[0] ?? ''} failed (exit code ${child.exitCode ?? 'none'}): ${said.trim().slice(-1500)}`,
    );
  const [wall = NaN, user = NaN, system = NaN] = ((await times) ?? '').trim().split(' ').map(Number);
  if (Number.isNaN(wall + user + system)) throw new Error(`bash told no times: ${(await times) ?? ''}`);
  return {
    wallSeconds: wall,
    cpuSeconds: user + system,
    peakRssBytes: memory.peak(),
    rss: memory.samples,
    stdout: (await stdout) ?? '',
  };
}

function pipeOf(child: ChildProcess, fd: number): Readable {
  const stream = child.stdio[fd];
  if (!stream || !('read' in stream)) throw new Error(`no pipe on descriptor ${fd}`);
  return stream;
}

function watchMemory(child: ChildProcess, everyMs: number) {
  const samples: { atMs: number; bytes: number }[] = [];
  const started = performance.now();
  let peak = 0;
  const look = () => {
    if (child.pid === undefined) return;
    const { resident, highest } = memoryBelow(child.pid);
    if (resident === 0) return;
    samples.push({ atMs: performance.now() - started, bytes: resident });
    peak = Math.max(peak, highest);
  };
  const timer = setInterval(look, everyMs);
  return { samples, peak: () => peak, stop: () => clearInterval(timer) };
}
