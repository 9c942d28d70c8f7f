import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cpuSecondsOf } from '../process-tree.ts';

/** A server of the bench that runs as a process of its own, so that its CPU seconds are not the client's. */
export interface ServerProcess extends AsyncDisposable {
  readonly url: string;
  /** CPU seconds it has used so far. */
  cpuSeconds(): number;
}

/**
 * Starts a script of this folder, which prints its URL and ends when its stdin does: at the latest when we do.
 *
 * @param script for example `origin.ts`
 */
export async function startServerProcess(script: string, ...args: readonly string[]): Promise<ServerProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, script), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const url = await Promise.race([
    once(createInterface(child.stdout), 'line').then(([line]) => String(line)),
    ended.then(() => undefined),
  ]);
  if (url === undefined) throw new Error(`${script} did not start; what it said is above`);
  return {
    url,
    cpuSeconds: () => (child.pid === undefined ? 0 : cpuSecondsOf(child.pid)),
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}
