import { once } from 'node:events';
import type { Server } from 'node:http';

/** What a server of the bench does as a process: listens on a free port, prints its URL, ends when its stdin does. */
export async function serveUntilStdinEnds(server: Server): Promise<void> {
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  console.log(`http://127.0.0.1:${address.port}`);
  process.stdin
    .once('close', () => {
      server.close();
      server.closeAllConnections();
    })
    .resume();
}
