import { chmod, mkdir, realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { UdmSyncError } from '../../errors.ts';
import { closedDirectory } from './account.ts';
import type { Account } from './account.ts';

/** Where things lie below the directory the user chose. */
export interface Layout {
  readonly root: string;
  /** Holds `data` and `password`; made whole and renamed into place, so that it is there entirely or not at all. */
  readonly cluster: string;
  readonly data: string;
  readonly password: string;
  readonly log: string;
}

export function layout(dataDir: string): Layout {
  const root = resolve(dataDir);
  const cluster = join(root, 'cluster');
  return {
    root,
    cluster,
    data: join(cluster, 'data'),
    password: join(cluster, 'password'),
    log: join(cluster, 'server.log'),
  };
}

/**
 * The directory to use when the user chose none: below /var/lib for root, whose home is usually closed to the
 * account the server runs as, and in the user's data directory (XDG) for everyone else.
 */
export function defaultEmbeddedPostgresDir(): string {
  if (process.getuid?.() === 0) return '/var/lib/udm-sync/postgres';
  const data = process.env['XDG_DATA_HOME'] ?? '';
  return join(data === '' ? join(homedir(), '.local', 'share') : data, 'udm-sync', 'postgres');
}

/**
 * Makes the directory if need be, and makes sure that the server's account can get at it.
 *
 * @throws UdmSyncError ERR_EMBEDDED_POSTGRES_DIR, naming the directory that is in the way
 */
export async function openDirectory(paths: Layout, account: Account | undefined): Promise<void> {
  try {
    // Before anything is made, so that a refusal leaves nothing behind.
    if (account !== undefined) await refuseClosed(await nearestExisting(paths.root), paths.root, account);
    const first = await mkdir(paths.root, { recursive: true });
    const mode = account === undefined ? 0o700 : 0o755;
    if (first !== undefined)
      for (let made = paths.root; made.length >= first.length; made = dirname(made)) await chmod(made, mode);
    if (account !== undefined) await refuseClosed(paths.root, paths.root, account);
    await refuseForeign(paths.data);
  } catch (error) {
    if (error instanceof UdmSyncError) throw error;
    throw directoryError(paths.root, error);
  }
}

async function nearestExisting(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    const found = await realpath(at).catch(() => undefined);
    if (found !== undefined) return found;
  }
}

async function refuseClosed(existing: string, wanted: string, account: Account): Promise<void> {
  const closed = await closedDirectory(existing, account);
  if (closed === undefined) return;
  throw new UdmSyncError(
    'ERR_EMBEDDED_POSTGRES_DIR',
    `The embedded Postgres cannot keep its data in ${wanted}: root may not run it, and the user it runs as ` +
      `(uid ${account.uid}) may not enter ${closed}.`,
    {
      hint:
        `Choose a directory outside of it (${defaultEmbeddedPostgresDir()}, say), open it with ` +
        `"chmod o+x ${closed}", run this as an ordinary user, or set DATABASE_URL.`,
    },
  );
}

async function refuseForeign(data: string): Promise<void> {
  const me = process.getuid?.();
  if (me === undefined || me === 0) return;
  const found = await stat(data).catch(() => undefined);
  if (found === undefined || found.uid === me) return;
  throw new UdmSyncError(
    'ERR_EMBEDDED_POSTGRES_DIR',
    `The embedded Postgres in ${data} belongs to another user (uid ${found.uid}).`,
    { hint: 'Run this as that user or as root, choose another directory, or set DATABASE_URL.' },
  );
}

/** What the operator is told when the file system refuses: which directory, and the choices left. */
export function directoryError(directory: string, cause: unknown): UdmSyncError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new UdmSyncError(
    'ERR_EMBEDDED_POSTGRES_DIR',
    `The embedded Postgres cannot keep its data in ${directory}: ${reason}.`,
    { cause, hint: 'Choose a directory that can be written to, or set DATABASE_URL.' },
  );
}
