import { execFile } from 'node:child_process';
import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { UdmSyncError } from '../../errors.ts';

/** The user a server process runs as. Undefined in this module's callers means: as ourselves. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const run = promisify(execFile);

/**
 * The account the server must run as. Postgres refuses to run as root, so root hands over to the owner of an
 * existing cluster, or else to `postgres`, or else to `nobody`; any other user runs it as itself.
 *
 * @param clusterData the cluster's data directory, which need not exist yet
 * @returns undefined when the server runs as the current user
 * @throws UdmSyncError ERR_EMBEDDED_POSTGRES_START when root has no such account on this machine
 */
export async function serverAccount(clusterData: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const existing = await stat(clusterData).catch(() => undefined);
  if (existing !== undefined && existing.uid !== 0) return { uid: existing.uid | 0, gid: existing.gid | 0 };
  const found = (await lookUp('postgres')) ?? (await lookUp('nobody'));
  if (found !== undefined) return found;
  throw new UdmSyncError(
    'ERR_EMBEDDED_POSTGRES_START',
    'Postgres does not run as root, and this machine has neither a user "postgres" nor "nobody".',
    { hint: 'Create one of them, run this as an ordinary user, or set DATABASE_URL.' },
  );
}

/** `id` rather than /etc/passwd: it also knows the users of directory services (macOS, LDAP). */
async function lookUp(name: string): Promise<Account | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
    // macOS's nobody is -2, or 4294967294: spawn() wants the signed form of it.
    return { uid: Number(uid.stdout) | 0, gid: Number(gid.stdout) | 0 };
  } catch {
    return undefined;
  }
}

/** The owner bits that chown() takes, which unlike spawn()'s are unsigned. */
export function owner(account: Account): [uid: number, gid: number] {
  return [account.uid >>> 0, account.gid >>> 0];
}

/** Whether the account may pass through a directory with these permission bits. ACLs are not considered. */
export function maySearch(directory: { mode: number; uid: number; gid: number }, account: Account): boolean {
  const [uid, gid] = owner(account);
  if (directory.uid === uid) return (directory.mode & 0o100) !== 0;
  if (directory.gid === gid) return (directory.mode & 0o010) !== 0;
  return (directory.mode & 0o001) !== 0;
}

/** The outermost directory, from `/` down to this existing one, that the account may not pass through. */
export async function closedDirectory(directory: string, account: Account): Promise<string | undefined> {
  const chain: string[] = [];
  for (let at = await realpath(directory); ; at = dirname(at)) {
    chain.unshift(at);
    if (at === dirname(at)) break;
  }
  for (const at of chain) if (!maySearch(await stat(at), account)) return at;
  return undefined;
}
