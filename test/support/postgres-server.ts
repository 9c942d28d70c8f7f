import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** The Postgres server of a whole test run. */
export interface TestServer {
  /** What it is and why, for people. */
  readonly description: string;
  /** URL of a superuser. */
  readonly url: string;
  stop(): Promise<void>;
}

const image = 'postgres:18-alpine';

/** Postgres in Docker where an engine answers and has the image, else the embedded one. */
export async function startTestServer(): Promise<TestServer> {
  if (!(await dockerAnswers())) return startEmbedded('no Docker engine answers');
  try {
    return await startContainer();
  } catch (error) {
    return startEmbedded(
      `Docker cannot run ${image}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/**
 * Looks where testcontainers would: DOCKER_HOST, its own settings, the usual sockets. In a process of its own, since
 * a connection to an engine that hangs cannot be given up.
 */
async function dockerAnswers(): Promise<boolean> {
  const probe = `
    import { getContainerRuntimeClient } from 'testcontainers';
    setTimeout(() => process.exit(1), 2_000);
    await getContainerRuntimeClient();
    process.exit();`;
  const asked = spawn(process.execPath, ['--input-type=module', '-e', probe], {
    cwd: import.meta.dirname,
    stdio: 'ignore',
  });
  await once(asked, 'exit');
  return asked.exitCode === 0;
}

async function startContainer(): Promise<TestServer> {
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
  const hasty = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'track_commit_timestamp=on'];
  const container = await new PostgreSqlContainer(image)
    .withCommand(['postgres', ...hasty.flatMap((setting) => ['-c', setting])])
    .start();
  return {
    description: `${image} in Docker`,
    url: container.getConnectionUri(),
    stop: async () => {
      await container.stop();
    },
  };
}

async function startEmbedded(reason: string): Promise<TestServer> {
  const keeper = spawn(process.execPath, [join(import.meta.dirname, 'postgres-keeper.ts')], {
    // A process group of its own: Ctrl-C is ours to answer, by closing its stdin.
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(keeper, 'exit');
  const url = await Promise.race([
    once(createInterface(keeper.stdout), 'line').then(([line]) => String(line)),
    ended.then(() => undefined),
  ]);
  if (url === undefined) throw new Error('The embedded Postgres did not start; what it said is above.');
  return {
    description: `embedded (${reason})`,
    url,
    stop: async () => {
      keeper.stdin.end();
      await ended;
    },
  };
}
