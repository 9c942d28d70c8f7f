import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from './arena.ts';
import type { Ground } from './arena.ts';
import { layGround, startScene } from './scene.ts';

let ground: Ground;
beforeAll(async () => {
  ground = await layGround();
});
afterAll(() => (ground as Ground | undefined)?.s3.stop());

test('a worker frozen between the intent and the request does not send it when it wakes up too late', async () => {
  // One after another: the first has fetched the token, so that nothing but the request itself is left for the next.
  const { arena, worker, finish } = await startScene({ ground, worker: { exports: 1 } });
  await arena.row(`select 1 from udm_sync.exports where state = 'created'`);
  // The answer to a commit takes its time, so there is time to freeze whoever waits for it.
  arena.proxies.postgres.set({ delayMs: 120 });
  const seen = new Set<number>();
  const posts = () =>
    arena.sim.requests.filter(({ endpoint }) => endpoint === 'POST /v10/export/jobs').length;
  let id = 0;
  await until('a request was about to be sent', async () => {
    // Without a pause: there is a tenth of a second.
    for (let look = 0; look < 100; look += 1) {
      const before = posts();
      const [row] = await arena.sql<{ id: number }>(
        `select id::int from udm_sync.exports where state = 'intended' and create_sent_at is not null
           and create_tries = 1 and id <> all($1)`,
        [[...seen]],
      );
      if (!row) continue;
      worker.signal('SIGSTOP');
      seen.add(row.id);
      id = row.id;
      // What had left already arrives now.
      await sleep(200);
      if (posts() === before) return true;
      worker.signal('SIGCONT');
    }
    return false;
  });
  arena.proxies.postgres.heal();
  // Its time limit is 2 s, and whoever takes over waits another second: after that a request must not come.
  await arena.row(
    `select 1 from udm_sync.exports where id = $1 and clock_timestamp() > create_sent_at + interval '3.5 s'`,
    [id],
  );
  worker.signal('SIGCONT');
  await finish();
  const [row] = await arena.sql<{ tries: number }>(
    'select create_tries as tries from udm_sync.exports where id = $1',
    [id],
  );
  expect(row?.tries, 'the first request was not sent, the second was').toBe(2);
}, 200_000);
