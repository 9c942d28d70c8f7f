import { execFile } from 'node:child_process';
import { cp, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';

const root = join(import.meta.dirname, '../..');
const stamp = join(root, 'dist/.built-for-tests');
const lockKey = 5_112_007;

/**
 * Compiles the program into dist/, unless nothing has changed since, and returns the path of its command line.
 *
 * @param serverUrl the Postgres of this run
 */
export async function buildCli(serverUrl: string): Promise<string> {
  // Two test files may ask at once, and neither may start a half-written program. The lock ends with its session.
  const lock = new Client({ connectionString: serverUrl });
  await lock.connect();
  try {
    await lock.query('select pg_advisory_lock($1)', [lockKey]);
    if ((await newestSource()) >= (await writtenAt(stamp))) await compile();
  } finally {
    await lock.end();
  }
  return join(root, 'dist/src/cli/main.js');
}

async function compile(): Promise<void> {
  // What is edited while the compiler works is compiled next time.
  const begun = new Date();
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  await promisify(execFile)(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root }).catch(
    (error: unknown) => {
      const said = error instanceof Error && 'stdout' in error ? String(error.stdout) : '';
      throw new Error(`The program does not compile:\n${said}`, { cause: error });
    },
  );
  // As `npm run build` does.
  await cp(join(root, 'src/page/static'), join(root, 'dist/src/page/static'), { recursive: true });
  await writeFile(stamp, '');
  await utimes(stamp, begun, begun);
}

async function newestSource(): Promise<number> {
  const folders = ['src', 'drizzle'].map(async (folder) =>
    (await readdir(join(root, folder), { recursive: true })).map((name) => join(root, folder, name)),
  );
  const settings = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
  const files = [...(await Promise.all(folders)).flat(), ...settings.map((name) => join(root, name))];
  return Math.max(...(await Promise.all(files.map(writtenAt))));
}

async function writtenAt(file: string): Promise<number> {
  try {
    return (await stat(file)).mtimeMs;
  } catch {
    return 0;
  }
}
