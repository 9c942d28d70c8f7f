import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { UdmSyncError } from '../../errors.ts';
import { owner } from './account.ts';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { directoryError } from './directory.ts';
import type { Layout } from './directory.ts';
import { runProgram } from './programs.ts';

/** The superuser of an embedded cluster. */
export const SUPERUSER = 'udm_sync';

/** Loopback only, no Unix socket (whose path would be limited to 107 bytes), times in UTC. */
const settings = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'timezone=UTC',
  'log_timezone=UTC',
];

/**
 * Makes the cluster if there is none, and reads its password. Several processes may do so at once: each builds
 * one of its own beside the final place, the first to rename it wins, and all use the winner's.
 *
 * @returns the superuser's password
 * @throws UdmSyncError ERR_EMBEDDED_POSTGRES_VERSION when another major version wrote the cluster,
 *   ERR_EMBEDDED_POSTGRES_DIR when what lies there is no cluster or cannot be read or written,
 *   ERR_EMBEDDED_POSTGRES_START when initdb fails
 */
export async function openCluster(
  paths: Layout,
  binaries: Binaries,
  account: Account | undefined,
  durable: boolean,
): Promise<string> {
  try {
    if ((await stat(paths.cluster).catch(() => undefined)) === undefined)
      await createCluster(paths, binaries, account, durable);
    const version = (await readFile(join(paths.data, 'PG_VERSION'), 'utf8')).trim();
    if (version !== binaries.major) throw versionError(paths, version, binaries.major);
    return (await readFile(paths.password, 'utf8')).trim();
  } catch (error) {
    throw error instanceof UdmSyncError ? error : directoryError(paths.root, error);
  }
}

async function createCluster(
  paths: Layout,
  binaries: Binaries,
  account: Account | undefined,
  durable: boolean,
): Promise<void> {
  await removeAbandoned(paths);
  const made = await mkdtemp(`${paths.cluster}.partial-`);
  try {
    const [data, password] = [join(made, 'data'), join(made, 'password')];
    await mkdir(data, { mode: 0o700 });
    await writeFile(password, randomBytes(24).toString('hex'), { mode: 0o600 });
    if (account !== undefined) {
      await chmod(made, 0o755);
      await chown(data, ...owner(account));
      await chown(password, ...owner(account));
    }
    const ended = await runProgram(
      join(binaries.bin, 'initdb'),
      [
        ...['-D', data, '-U', SUPERUSER, `--pwfile=${password}`, '--auth=scram-sha-256'],
        ...['-E', 'UTF8', '--locale=C', ...settings.flatMap((setting) => ['--set', setting])],
        ...(durable ? [] : ['--no-sync']),
      ],
      { cwd: made, account },
    );
    if (ended.code !== 0)
      throw new UdmSyncError('ERR_EMBEDDED_POSTGRES_START', `initdb failed: ${ended.output.slice(-1000)}`, {
        hint: 'Set DATABASE_URL to use a Postgres of your own.',
      });
    await rename(made, paths.cluster);
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    if (!wonByAnother(error)) throw error;
  }
}

function wonByAnother(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOTEMPTY' || error.code === 'EEXIST');
}

/** What a process killed in the middle of initdb left behind, once it is too old to be somebody's work. */
async function removeAbandoned(paths: Layout): Promise<void> {
  for (const name of await readdir(paths.root)) {
    const path = join(paths.root, name);
    if (!path.startsWith(`${paths.cluster}.partial-`)) continue;
    if (Date.now() - (await lstat(path)).mtimeMs > 3_600_000)
      await rm(path, { recursive: true, force: true });
  }
}

function versionError(paths: Layout, found: string, wanted: string): UdmSyncError {
  return new UdmSyncError(
    'ERR_EMBEDDED_POSTGRES_VERSION',
    `The cluster in ${paths.cluster} was written by Postgres ${found}, and the embedded one is Postgres ${wanted}.`,
    {
      hint:
        `Choose another directory, or move the data with pg_dump of Postgres ${found} and set DATABASE_URL. ` +
        `Delete ${paths.cluster} only if what it knows may be lost.`,
    },
  );
}
