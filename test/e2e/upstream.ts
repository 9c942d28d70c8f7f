import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** The simulated upstream, driven from outside. */
export interface Upstream {
  readonly url: string;
  /** GET below /_sim/. */
  ask(path: string): Promise<unknown>;
  /** POST below /_sim/. */
  tell(path: string, body: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Takes back every fault. */
  calm(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the upstream as a process of its own; `logFile` gets a line for every request. */
export async function startUpstream(logFile: string): Promise<Upstream> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'upstream-main.ts'), logFile], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const url = await Promise.race([
    once(createInterface(child.stdout), 'line').then(([line]) => String(line)),
    ended.then(() => undefined),
  ]);
  if (url === undefined) throw new Error('The simulated upstream did not start.');
  const call = async (path: string, init?: RequestInit) => {
    const answer = await fetch(`${url}/_sim/${path}`, init);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`/_sim/${path} answered ${answer.status}: ${text}`);
    return text;
  };
  return {
    url,
    ask: async (path) => JSON.parse(await call(path)) as unknown,
    tell: async (path, body) => {
      const text = await call(path, { method: 'POST', body: JSON.stringify(body) });
      return text === '' ? undefined : (JSON.parse(text) as unknown);
    },
    async calm() {
      await call('faults', { method: 'DELETE' });
    },
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}
