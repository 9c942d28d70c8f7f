import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Recorded } from '../sinks/recording-proxy.ts';
import { until } from './arena.ts';
import type { Ground } from './arena.ts';
import { layGround, startScene } from './scene.ts';

let ground: Ground;
beforeAll(async () => {
  ground = await layGround();
});
afterAll(() => (ground as Ground | undefined)?.s3.stop());

const refusals = [
  { status: 503, code: 'SlowDown' },
  { status: 503, code: 'ServiceUnavailable' },
  { status: 500, code: 'InternalError' },
];

function refusal(index: number) {
  const { status, code } = refusals[index % refusals.length] ?? refusals[0] ?? { status: 503, code: '' };
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>later</Message></Error>`;
  return { answer: { status, body } };
}

test('S3 answers SlowDown, 503 and 500 in bursts, longer than the SDK tries', async () => {
  const seen = new Map<string, number>();
  const burst = 9;
  const { arena, finish } = await startScene({
    ground,
    prepare: ({ s3 }) => {
      s3.intervene = ({ operation }: Recorded) => {
        const count = (seen.get(operation) ?? 0) + 1;
        seen.set(operation, count);
        // Of every 18 requests of a kind, the first 9 are refused.
        return count % (2 * burst) > 0 && count % (2 * burst) <= burst ? refusal(count) : undefined;
      };
    },
  });
  await finish();
  for (const operation of ['PutObject', 'UploadPart', 'CompleteMultipartUpload', 'HeadObject'])
    expect(seen.get(operation), operation).toBeGreaterThan(burst);
  const [held] = await arena.sql<{ n: number }>(
    `select count(*)::int as n from udm_sync.history where subject = 'file' and from_state = 'transferring' and to_state = 'waiting'`,
  );
  expect(held?.n, 'files waited for S3').toBeGreaterThan(0);
}, 200_000);

test('answers of S3 are lost after the work was done', async () => {
  const lost = new Map<string, number>();
  const { finish } = await startScene({
    ground,
    prepare: ({ s3 }) => {
      s3.intervene = ({ operation }: Recorded) => {
        const count = (lost.get(operation) ?? 0) + 1;
        lost.set(operation, count);
        return count <= 4 ? { loseAnswer: true } : undefined;
      };
    },
  });
  await finish();
  expect(lost.get('CompleteMultipartUpload')).toBeGreaterThan(0);
}, 200_000);

test('connections to S3 are cut, refused, and hang for a while', async () => {
  const { arena, finish } = await startScene({ ground });
  const { s3 } = arena.proxies;
  s3.set({ bytesPerSecond: 4_000_000 });
  const cut = async (how: 'rst' | 'fin') => {
    await until('a connection is open', () => s3.open > 0);
    s3.cut(how);
  };
  await arena.row(`select 1 from udm_sync.files where state = 'transferring'`);
  await cut('rst');
  await cut('fin');
  s3.set({ accept: 'refuse' });
  await cut('rst');
  await until('connections were refused', () => (s3.harm['refused'] ?? 0) > 0);
  s3.set({ accept: 'forward' });
  await until('a connection is open', () => s3.freeze() > 0);
  await arena.row(`select 1 from udm_sync.history where to_state = 'transferring'`);
  s3.heal();
  await finish();
}, 200_000);
