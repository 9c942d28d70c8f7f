import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Pool } from 'pg';
import type { Testimony } from '../auditor/facts.ts';

export interface Witness {
  /** What workers take for the upstream. */
  readonly url: string;
  readonly testimonies: readonly Testimony[];
  stop(): Promise<void>;
}

/**
 * Stands between the workers and the upstream, and holds each DELETE until it has read in a session of its own, which
 * sees only what is committed, what Postgres says of the files concerned.
 */
export async function startWitness(upstream: string, database: Pool): Promise<Witness> {
  const testimonies: Testimony[] = [];
  const { hostname, port } = new URL(upstream);

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { method = 'GET', url: path = '/', headers } = incoming;
    if (method === 'DELETE') testimonies.push({ path, files: await askPostgres(database, path) });
    const forwarded = request({ hostname, port, method, path, headers, agent: false });
    forwarded.on('error', () => outgoing.destroy());
    forwarded.on('response', (answer) => {
      answer.on('error', () => outgoing.destroy());
      outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(outgoing);
    });
    incoming.pipe(forwarded);
  }

  const server = createServer((incoming, outgoing) => {
    // Without its testimony no request goes through.
    handle(incoming, outgoing).catch(() => outgoing.destroy());
  });
  // As long as a gateway does: a worker that was frozen finds its connection open.
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the witness listens on no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    testimonies,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

interface Row {
  readonly name: string;
  readonly state: string;
  readonly verified: boolean;
}

async function askPostgres(database: Pool, path: string): Promise<Testimony['files']> {
  const columns = `f.name, f.state, f.verified_at is not null and f.state in ('verified', 'deleted') as verified`;
  const of = /\/export\/(history|jobs)\/([^/?]+)$/.exec(path);
  if (of) {
    const column = of[1] === 'history' ? 'upstream_history_id' : 'upstream_job_id';
    const { rows } = await database.query<Row>(
      `select ${columns} from udm_sync.files f join udm_sync.exports e on e.id = f.export_id where e.${column} = $1`,
      [decodeURIComponent(of[2] ?? '')],
    );
    return rows;
  }
  const names = namesOf(path);
  const { rows } = await database.query<Row>(
    `select ${columns} from udm_sync.files f where f.name = any($1)`,
    [names],
  );
  return names.map((name) => {
    // Of several files of one name the worst counts: the upstream deletes them all.
    const known = rows.filter((row) => row.name === name);
    return known.find((row) => !row.verified) ?? known[0] ?? { name, state: undefined, verified: false };
  });
}

/** The names a DELETE asks for, read as the upstream reads them: decoded first, divided at commas then. */
function namesOf(path: string): string[] {
  const url = new URL(path, 'http://upstream');
  const single = /\/files\/([^/]+)$/.exec(url.pathname)?.[1];
  if (single !== undefined) return [decodeURIComponent(single)];
  return (url.searchParams.get('filename') ?? '').split(',');
}
