import { spawn } from 'node:child_process';
import { open, readFile, stat, truncate } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { UdmSyncError } from '../../errors.ts';
import { owner } from './account.ts';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { SUPERUSER } from './cluster.ts';
import type { Layout } from './directory.ts';
import { programEnvironment, runProgram } from './programs.ts';

/** One cluster and all that is needed to run it. */
export interface Server {
  readonly paths: Layout;
  readonly binaries: Binaries;
  readonly account: Account | undefined;
  readonly password: string;
}

export interface LaunchOptions {
  /** A free one is taken when there is none. */
  readonly port: number | undefined;
  readonly durable: boolean;
}

/** What one try at launching came to. A transient failure is worth another look at the cluster's state. */
export type Launch = { readonly ready: true; readonly port: number } | Failure;

interface Failure {
  readonly ready: false;
  readonly transient: boolean;
  readonly reason: string;
}

/** Crash recovery of a large cluster takes a while: as long as pg_ctl waits by default. */
const READY_WITHIN_MS = 60_000;
const LOG_LIMIT_BYTES = 5 * 1024 * 1024;

export function connectionUrl(server: Server, port: number): string {
  return `postgresql://${SUPERUSER}:${server.password}@127.0.0.1:${port}/postgres`;
}

/** Whether a postmaster owns the data directory. It may still be starting, or be on its way out. */
export async function isRunning(server: Server): Promise<boolean> {
  const { code, output } = await pgCtl(server, ['status']);
  if (code === 0) return true;
  if (code === 3) return false;
  throw startError(server, `pg_ctl status failed: ${output}`);
}

/**
 * The port of the running server once it answers a query under our password.
 *
 * @throws whatever the connection failed with: still starting, shutting down, not ours, or dead after all
 */
export async function answeringPort(server: Server): Promise<number> {
  const { port } = await readPidFile(server.paths);
  const client = new Client({
    connectionString: connectionUrl(server, port),
    connectionTimeoutMillis: 5_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
    return port;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * Starts a postmaster that outlives this process, and waits until it accepts connections. It is spawned directly
 * and not through `pg_ctl start`, which passes paths and options through a shell.
 */
export async function launch(server: Server, options: LaunchOptions): Promise<Launch> {
  const { paths, account } = server;
  const port = options.port ?? (await freePort());
  const began = await trimLog(paths.log);
  const log = await open(paths.log, 'a', 0o600);
  try {
    // Root may be the first to start an ordinary user's cluster: the log must stay the user's.
    if (account !== undefined) await log.chown(...owner(account));
    const child = spawn(
      join(server.binaries.bin, 'postgres'),
      ['-D', paths.data, ...serverArguments(port, options)],
      {
        cwd: paths.cluster,
        env: programEnvironment(),
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        ...account,
      },
    );
    child.unref();
    let ended: string | undefined;
    child.once('error', (error) => (ended = error.message));
    child.once(
      'exit',
      (code, signal) => (ended ??= `it ended with ${signal ?? `exit code ${String(code)}`}`),
    );
    const deadline = performance.now() + READY_WITHIN_MS;
    while (performance.now() < deadline) {
      if (ended !== undefined)
        return failure(ended, (await readFile(paths.log, 'utf8')).slice(began), options);
      const found = await readPidFile(paths).catch(() => undefined);
      if (found?.pid === child.pid && found?.ready === true) return { ready: true, port };
      await delay(20);
    }
    return { ready: false, transient: false, reason: `it was not ready within ${READY_WITHIN_MS / 1000} s` };
  } finally {
    await log.close();
  }
}

/** Stops the server, disconnecting its clients. Does nothing when it does not run. */
export async function stop(server: Server): Promise<void> {
  if (!(await isRunning(server))) return;
  const { code, output } = await pgCtl(server, ['stop', '-m', 'fast', '-w', '-t', '60']);
  if (code === 0 || !(await isRunning(server))) return;
  throw new UdmSyncError('ERR_EMBEDDED_POSTGRES_STOP', `The embedded Postgres did not stop: ${output}`, {
    hint: `Look into ${server.paths.log}.`,
  });
}

export function startError(server: Server, reason: string, cause?: unknown): UdmSyncError {
  return new UdmSyncError('ERR_EMBEDDED_POSTGRES_START', `The embedded Postgres did not start: ${reason}`, {
    cause,
    hint:
      `Look into ${server.paths.log}. If no Postgres uses ${server.paths.data}, delete postmaster.pid there and ` +
      `try again, or set DATABASE_URL to use a Postgres of your own.`,
  });
}

function serverArguments(port: number, options: LaunchOptions): string[] {
  const fast = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'];
  const chosen = [`port=${port}`, ...(options.durable ? [] : fast)];
  return chosen.flatMap((setting) => ['-c', setting]);
}

/**
 * A postmaster killed a moment ago, another process that starts the same cluster, or somebody who took the free
 * port in between all look like this; they pass.
 */
function failure(ended: string, log: string, options: LaunchOptions): Failure {
  const portTaken = /could not bind|Address already in use/.test(log);
  const busy = /lock file "|shared memory block/.test(log);
  const fatal = log.split('\n').filter((line) => /FATAL|HINT|WARNING/.test(line));
  const reason = portTaken && options.port !== undefined ? `port ${options.port} is in use` : fatal.join(' ');
  return {
    ready: false,
    transient: busy || (portTaken && options.port === undefined),
    reason: reason === '' ? `${ended}. ${log.slice(-500)}` : reason,
  };
}

/** postmaster.pid: process id, data directory, start time, port, socket directory, address, shared memory, state. */
async function readPidFile(paths: Layout): Promise<{ pid: number; port: number; ready: boolean }> {
  const lines = (await readFile(join(paths.data, 'postmaster.pid'), 'utf8')).split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  if (!Number.isInteger(pid) || !(port > 0)) throw new Error('postmaster.pid is not complete yet');
  return { pid, port, ready: lines[7]?.trim() === 'ready' };
}

async function pgCtl(server: Server, args: readonly string[]) {
  const { paths, binaries, account } = server;
  return runProgram(join(binaries.bin, 'pg_ctl'), [...args, '-D', paths.data], {
    cwd: paths.cluster,
    account,
  });
}

async function freePort(): Promise<number> {
  const probe = createServer();
  return new Promise((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('no free port on 127.0.0.1'));
        else resolve(address.port);
      });
    });
  });
}

/** Begins the log anew once it has grown large. Returns how long it is, in bytes. */
async function trimLog(log: string): Promise<number> {
  const size = (await stat(log).catch(() => undefined))?.size ?? 0;
  if (size <= LOG_LIMIT_BYTES) return size;
  await truncate(log);
  return 0;
}
