import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import { serverAccount } from './embedded-postgres/account.ts';
import { prepareBinaries, removeOldCopies } from './embedded-postgres/binaries.ts';
import { openCluster } from './embedded-postgres/cluster.ts';
import { layout, openDirectory } from './embedded-postgres/directory.ts';
import {
  answeringPort,
  connectionUrl,
  isRunning,
  launch,
  startError,
  stop,
} from './embedded-postgres/server.ts';
import type { LaunchOptions, Server } from './embedded-postgres/server.ts';

export { defaultEmbeddedPostgresDir } from './embedded-postgres/directory.ts';

export interface EmbeddedPostgresOptions {
  /** Everything lies below this directory: the cluster, its password and log, as root also the programs. */
  readonly dataDir: string;
  /** TCP port on 127.0.0.1. Default: a free one. A server that runs already keeps the port it has. */
  readonly port?: number;
  /** False trades the data's safety in a power failure for speed: for tests. Default true. */
  readonly durable?: boolean;
  readonly logger: Logger;
}

export interface EmbeddedPostgres {
  /** Connection URL of the superuser. It holds the password: never log it. */
  readonly url: string;
  /** False when a running server was found and used, such as one whose starter was killed. */
  readonly started: boolean;
  /** Stops the server (fast shutdown), whoever started it. Without it the server outlives this process. */
  stop(): Promise<void>;
}

/** How long a server may be neither gone nor answering: just killed, being started or stopped by another process. */
const SETTLE_WITHIN_MS = 30_000;

/**
 * Runs the PostgreSQL that ships in the optional `@embedded-postgres/*` packages: makes the cluster when there is
 * none, uses the server that already runs on it, or starts one. Any number of processes may call this at once for
 * the same directory; one of them starts the server and all get it.
 *
 * @throws UdmSyncError ERR_EMBEDDED_POSTGRES_MISSING (no package for this platform), ERR_EMBEDDED_POSTGRES_DIR
 *   (directory cannot be used), ERR_EMBEDDED_POSTGRES_VERSION (cluster of another major version),
 *   ERR_EMBEDDED_POSTGRES_START (initdb or the server failed); `stop` throws ERR_EMBEDDED_POSTGRES_STOP
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const durable = options.durable ?? true;
  const paths = layout(options.dataDir);
  const account = await serverAccount(paths.data);
  await openDirectory(paths, account);
  const binaries = await prepareBinaries(paths.root, account);
  const password = await openCluster(paths, binaries, account, durable);
  const server: Server = { paths, binaries, account, password };
  const { port, started } = await settle(server, { port: options.port, durable });
  if (started) await removeOldCopies(paths.root, binaries);
  options.logger.info({ dataDir: paths.root, port, started }, 'embedded Postgres is running');
  return { url: connectionUrl(server, port), started, stop: () => stop(server) };
}

/** Looks, launches, and looks again until the server answers, or a failure is certain to stay. */
async function settle(server: Server, options: LaunchOptions): Promise<{ port: number; started: boolean }> {
  const deadline = performance.now() + SETTLE_WITHIN_MS;
  for (;;) {
    let obstacle: unknown;
    let reason: string;
    if (await isRunning(server)) {
      try {
        return { port: await answeringPort(server), started: false };
      } catch (error) {
        obstacle = error;
        reason = `a server runs on the data directory and does not answer (${String(error)}).`;
      }
    } else {
      const outcome = await launch(server, options);
      if (outcome.ready) return { port: outcome.port, started: true };
      if (!outcome.transient) throw startError(server, outcome.reason);
      reason = outcome.reason;
    }
    if (performance.now() > deadline) throw startError(server, reason, obstacle);
    await delay(100);
  }
}
