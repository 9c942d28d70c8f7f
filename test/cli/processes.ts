import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** How one command ended, and what it said. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command under way. */
export interface Running {
  readonly child: ChildProcess;
  /** What it has printed so far, on either stream. */
  said(): string;
  readonly ended: Promise<Ended>;
}

export interface Surroundings {
  readonly cwd: string;
  /** All of the environment besides PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>;
}

/** No command of these tests takes that long; one that does not end by itself is a failure. */
const patienceMs = 55_000;

export const mainFile = join(import.meta.dirname, '../../src/cli/main.ts');

/** What no command may ever print; `forbid` adds to it. */
const secrets = new Set<string>();

/** Says that none of these may appear in any output from now on. */
export function forbid(...more: readonly string[]): void {
  for (const secret of more) secrets.add(secret);
}

/** The secrets, and traces of pre-signed URLs, that a text holds. */
export function leaks(text: string): string[] {
  const spellings = (secret: string) => [secret, encodeURIComponent(secret), btoa(secret)];
  const found = [...secrets].filter((secret) => spellings(secret).some((form) => text.includes(form)));
  return [...found, ...(text.match(/X-Amz-(Signature|Credential)=[^\s"]{0,20}/gi) ?? [])];
}

/** Starts `udm-sync …`. Its `ended` rejects if a secret was printed, or if it does not end. */
export function start(args: readonly string[], { cwd, env = {} }: Surroundings): Running {
  return follow(
    spawn(process.execPath, [mainFile, ...args], {
      cwd,
      env: environment(env),
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
    args.join(' '),
  );
}

export function environment(env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env };
}

const running = new Set<ChildProcess>();
// What a failed test left behind.
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
});

/** Reads what a process says until it ends. */
export function follow(child: ChildProcess, name: string): Running {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  running.add(child);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, patienceMs);
  const ended = once(child, 'close').then(([code]: unknown[]): Ended => {
    clearTimeout(timer);
    running.delete(child);
    if (late) throw new Error(`"${name}" did not end. It said:\n${stdout}\n${stderr}`);
    const leaked = leaks(stdout + stderr);
    if (leaked.length > 0) throw new Error(`"${name}" printed ${leaked.join(', ')}:\n${stdout}\n${stderr}`);
    return { code: typeof code === 'number' ? code : null, stdout, stderr };
  });
  ended.catch(() => undefined);
  return { child, said: () => stdout + stderr, ended };
}
