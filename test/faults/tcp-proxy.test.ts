import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fateOf, startTcpProxy } from './tcp-proxy.ts';
import type { Mischief, TcpProxy } from './tcp-proxy.ts';

/** A server that sends back what it gets, and remembers how its connections ended. */
async function startEcho() {
  const endings: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('data', (chunk) => socket.write(chunk));
    socket.once('end', () => {
      endings.push('end');
      socket.end();
    });
    socket.once('error', (error) => endings.push(('code' in error && String(error.code)) || error.message));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return {
    address: { host: '127.0.0.1', port: bound.port },
    endings,
    get connections() {
      return sockets.size;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

let echo: Awaited<ReturnType<typeof startEcho>>;
let proxy: TcpProxy;
beforeEach(async () => {
  echo = await startEcho();
  proxy = await startTcpProxy(() => echo.address);
});
afterEach(async () => {
  await proxy.stop();
  await echo.stop();
});

interface Client {
  readonly socket: Socket;
  /** All that came back so far. */
  readonly got: () => string;
  /** `end` of the other side, an error code, or undefined while it lives. */
  readonly ending: () => string | undefined;
}

async function dial(): Promise<Client> {
  const socket = connect(proxy.address);
  let got = '';
  let ending: string | undefined;
  socket.setEncoding('utf8').on('data', (text: string) => (got += text));
  socket.once('end', () => (ending ??= 'end'));
  socket.once('error', (error) => (ending ??= 'code' in error ? String(error.code) : error.message));
  await new Promise<void>((resolve) => {
    socket.once('connect', resolve);
    socket.once('close', () => resolve());
  });
  return { socket, got: () => got, ending: () => ending };
}

const soon = { timeout: 20_000, interval: 5 };

describe('on command', () => {
  test('passes bytes and the end of a connection on', async () => {
    const client = await dial();
    client.socket.write('hello');
    await expect.poll(client.got, soon).toBe('hello');
    client.socket.end();
    await expect.poll(client.ending, soon).toBe('end');
    expect(echo.endings).toEqual(['end']);
    expect(proxy.accepted).toBe(1);
  });

  test.each([
    { how: 'rst', ending: 'ECONNRESET' },
    { how: 'fin', ending: 'end' },
  ] as const)('cuts by $how, on both sides', async ({ how, ending }) => {
    const client = await dial();
    client.socket.write('hello');
    await expect.poll(client.got, soon).toBe('hello');
    expect(proxy.cut(how)).toBe(1);
    await expect.poll(client.ending, soon).toBe(ending);
    await expect.poll(() => echo.endings, soon).toEqual([ending]);
    await expect.poll(() => proxy.open, soon).toBe(0);
    expect(proxy.harm).toEqual({ [how]: 1 });
  });

  test('a frozen connection stays open and silent until it is thawed', async () => {
    const client = await dial();
    client.socket.write('a');
    await expect.poll(client.got, soon).toBe('a');
    expect(proxy.freeze()).toBe(1);
    client.socket.write('b');
    // A new connection has made its round trip meanwhile.
    const other = await dial();
    other.socket.write('x');
    await expect.poll(other.got, soon).toBe('x');
    expect(client.got()).toBe('a');
    expect(client.ending()).toBeUndefined();
    proxy.thaw();
    await expect.poll(client.got, soon).toBe('ab');
  });

  test('a black hole takes new connections and answers nothing; older ones go on', async () => {
    const before = await dial();
    before.socket.write('1');
    await expect.poll(before.got, soon).toBe('1');
    proxy.set({ accept: 'blackhole' });
    const swallowed = await dial();
    swallowed.socket.write('lost');
    before.socket.write('2');
    await expect.poll(before.got, soon).toBe('12');
    expect(swallowed.got()).toBe('');
    expect(echo.connections).toBe(1);
    proxy.heal();
    const after = await dial();
    after.socket.write('3');
    await expect.poll(after.got, soon).toBe('3');
    expect(proxy.harm).toEqual({ blackholed: 1 });
  });

  test('refuses new connections', async () => {
    proxy.set({ accept: 'refuse' });
    const client = await dial();
    await expect.poll(client.ending, soon).toBe('ECONNRESET');
    expect(echo.connections).toBe(0);
  });

  test('holds each piece up, and lets only so many bytes through in a second', async () => {
    proxy.set({ delayMs: 60, bytesPerSecond: 10_000 });
    const begun = performance.now();
    const client = await dial();
    client.socket.write('x'.repeat(500));
    await expect.poll(() => client.got().length, soon).toBe(500);
    // Both directions: 2 × (60 + 50) ms; timers may be a little early.
    expect(performance.now() - begun).toBeGreaterThan(200);
  });

  test('leads to where the target is now', async () => {
    const second = await startEcho();
    try {
      const moving = await startTcpProxy(() => second.address);
      const socket = connect(moving.address);
      socket.write('there');
      await once(socket, 'data');
      socket.destroy();
      await moving.stop();
      expect(second.connections).toBe(1);
    } finally {
      await second.stop();
    }
  });

  test('writes itself into URLs', () => {
    expect(proxy.url('postgresql://user:pass@db.example:5432/name?x=1')).toBe(
      `postgresql://user:pass@127.0.0.1:${proxy.address.port}/name?x=1`,
    );
    expect(proxy.url('http://localhost:1')).toBe(`http://127.0.0.1:${proxy.address.port}`);
  });
});

describe('by seed', () => {
  const mischief: Mischief = { seed: 7, share: 0.5, withinBytes: 1000, stallMs: 100 };
  const fates = (seed: number) => Array.from({ length: 200 }, (_, n) => fateOf({ ...mischief, seed }, n + 1));

  test('the same seed has the same fates, another one has others, and each kind occurs', () => {
    expect(fates(7)).toEqual(fates(7));
    expect(fates(8)).not.toEqual(fates(7));
    expect(new Set(fates(7).map(({ kind }) => kind))).toEqual(new Set(['unharmed', 'rst', 'fin', 'stall']));
    const harmed = fates(7).filter(({ kind }) => kind !== 'unharmed').length;
    expect(harmed).toBeGreaterThan(70);
    expect(harmed).toBeLessThan(130);
  });

  test('a connection is cut at the very byte', async () => {
    const first = Array.from({ length: 100 }, (_, seed) => ({ ...mischief, seed, share: 1 })).find(
      (each) => fateOf(each, 1).kind === 'rst',
    );
    if (!first) throw new Error('no seed cuts the first connection');
    const fate = fateOf(first, 1);
    const bytes = 'afterBytes' in fate ? fate.afterBytes : 0;
    proxy.setMischief(first);
    const client = await dial();
    client.socket.write('x'.repeat(5000));
    await expect.poll(client.ending, soon).toBe('ECONNRESET');
    expect(client.got().length).toBeLessThan(bytes);
    expect(proxy.harm).toEqual({ rst: 1 });
  });
});
