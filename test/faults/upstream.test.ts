import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FaultRule } from '../../simulator/server.ts';
import { until } from './arena.ts';
import type { Ground } from './arena.ts';
import { layGround, startScene } from './scene.ts';

let ground: Ground;
beforeAll(async () => {
  ground = await layGround();
});
afterAll(() => (ground as Ground | undefined)?.s3.stop());

const history = 'GET /v10/export/history';
const metadata = 'GET /v10/file-metadatas';
const locate = 'GET /v10/files/{filename}';
const origin = 'GET /s3/{filename}';
const remove = 'DELETE /v10/files';
const create = 'POST /v10/export/jobs';
const token = 'POST /auth/v3/oauth/token';

const storms: readonly { readonly what: string; readonly faults: readonly FaultRule[] }[] = [
  {
    what: '429 with Retry-After',
    faults: [history, metadata, locate, remove, create].map((endpoint) => ({
      endpoint,
      kind: 'status',
      status: 429,
      headers: { 'retry-after': '1' },
      nth: 2,
      times: 3,
    })),
  },
  {
    what: '500 and 503, longer than one call tries',
    faults: [history, metadata, locate, remove].flatMap((endpoint): FaultRule[] => [
      { endpoint, kind: 'status', status: 500, nth: 2, times: 5 },
      { endpoint, kind: 'status', status: 503, nth: 9, times: 5 },
    ]),
  },
  {
    what: "a gateway's 502 page in HTML",
    faults: [history, metadata, locate, remove, create].map((endpoint) => ({
      endpoint,
      kind: 'html',
      nth: 2,
      times: 5,
    })),
  },
  {
    what: 'a storm of 401: every token is revoked as soon as it is used, and the token endpoint is busy',
    faults: [
      { endpoint: history, kind: 'token-revoked', nth: 2, times: 6 },
      { endpoint: metadata, kind: 'token-revoked', nth: 1, times: 6 },
      { endpoint: locate, kind: 'token-revoked', nth: 2, times: 4 },
      { endpoint: remove, kind: 'token-revoked', nth: 1, times: 4 },
      { endpoint: token, kind: 'status', status: 503, nth: 3, times: 3 },
    ],
  },
  {
    what: 'JSON of no known shape',
    faults: [history, metadata, create].map((endpoint) => ({
      endpoint,
      kind: 'wrong-json',
      nth: 2,
      times: 2,
    })),
  },
  {
    what: 'bodies that are cut off, by reset and cleanly, and URLs that have run out',
    faults: [
      { endpoint: origin, kind: 'reset-mid-body', nth: 2, times: 2 },
      { endpoint: origin, kind: 'truncate', nth: 6, times: 2 },
      { endpoint: origin, kind: 'truncate-chunked', nth: 10, times: 2 },
      { endpoint: locate, kind: 'expired-url', nth: 3, times: 2 },
    ],
  },
];

test.each(storms)(
  '$what',
  async ({ faults }) => {
    const { arena, finish } = await startScene({
      ground,
      prepare: ({ sim }) => {
        for (const fault of faults) sim.faults.add(fault);
      },
    });
    await finish();
    for (const { rule, fired } of arena.sim.faults.list())
      expect(fired, `${String(rule.endpoint)} ${rule.kind}`).toBe(rule.times);
  },
  200_000,
);

test('connections to the API and the origin are cut, hang and are swallowed', async () => {
  const { arena, finish } = await startScene({ ground });
  const { api, origin: bytes } = arena.proxies;
  bytes.set({ bytesPerSecond: 6_000_000 });
  await arena.row(`select 1 from udm_sync.runs where state = 'exporting'`);
  for (const how of ['rst', 'fin'] as const) {
    await until('a connection is open', () => api.open > 0);
    api.cut(how);
  }
  api.set({ accept: 'blackhole' });
  api.cut('rst');
  // Requests time out after 2 s, and are asked again.
  await until('requests were swallowed', () => (api.harm['blackholed'] ?? 0) > 1);
  api.set({ accept: 'forward' });
  api.cut('rst');
  await until('a download is under way', () => bytes.open > 0);
  bytes.cut('rst');
  await until('a download is under way', () => bytes.open > 0);
  bytes.cut('fin');
  await until('a download hangs', () => bytes.freeze() > 0);
  bytes.cut('rst');
  await finish();
}, 200_000);
