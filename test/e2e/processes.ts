import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';

/** How a process of the program ended. */
export interface Ended {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process of the built program. */
export interface Running {
  readonly pid: number;
  readonly command: string;
  /** What it has printed so far, on either stream. */
  said(): string;
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

/**
 * Starts the built program with an environment of its own.
 *
 * @param preloads modules that are loaded into the process before the program
 */
export function start(
  main: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  preloads: readonly string[] = [],
): Running {
  const imports = preloads.flatMap((path) => ['--import', pathToFileURL(path).href]);
  const child = spawn(process.execPath, [...imports, main, ...args], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (child.pid === undefined) throw new Error(`${main} could not be started`);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return {
    pid: child.pid,
    command: args.join(' '),
    said: () => stdout + stderr,
    signal: (name) => void child.kill(name),
    ended: once(child, 'close').then(() => ({ code: child.exitCode, stdout, stderr })),
  };
}
