/**
 * Stands between a client and a server, below whatever they speak: forwards bytes, and on command holds them up,
 * thins them out, cuts connections or lets them hang. What it does by itself follows from a seed.
 */
import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { Socket } from 'node:net';
import { roomOrGone } from '../../simulator/room.ts';
import { randomOf } from './random.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** How the proxy treats connections now. Changes hold at once for those there are, and for all to come. */
export interface Conduct {
  /** How long each piece of data is held, ms, in each direction. */
  readonly delayMs: number;
  /** Bytes per second for each connection and direction; undefined: as fast as it goes. */
  readonly bytesPerSecond: number | undefined;
  /**
   * What becomes of a new connection. `blackhole`: it is accepted and nothing ever comes back (without being root
   * nobody can leave a SYN unanswered on loopback). `refuse`: it is reset at once.
   */
  readonly accept: 'forward' | 'blackhole' | 'refuse';
}

/** What happens to one connection by itself. */
export type Fate =
  | { readonly kind: 'unharmed' }
  /** After so many bytes in both directions together, it is cut. */
  | { readonly kind: 'rst' | 'fin'; readonly afterBytes: number }
  /** After so many bytes nothing goes on for so long. */
  | { readonly kind: 'stall'; readonly afterBytes: number; readonly ms: number };

/** Decides the fate of connections by their number. */
export interface Mischief {
  readonly seed: string | number;
  /** Of 1, how many connections come to harm. */
  readonly share: number;
  /** Harm comes after at most so many bytes. */
  readonly withinBytes: number;
  /** A stall lasts at most so long. */
  readonly stallMs: number;
}

export interface TcpProxy {
  readonly address: Address;
  /** The same URL, leading here. */
  url(target: string): string;
  /** Live connections. */
  readonly open: number;
  /** Connections ever accepted. */
  readonly accepted: number;
  /** What was done to connections, by kind. */
  readonly harm: Readonly<Record<string, number>>;
  set(conduct: Partial<Conduct>): void;
  /** From now on connections have fates; undefined: none any more. */
  setMischief(mischief: Mischief | undefined): void;
  /** Cuts every live connection, on both sides. Returns how many there were. */
  cut(how: 'rst' | 'fin'): number;
  /**
   * Half-opens the live connections: nothing more is read or passed on, in either direction, while they stay. New
   * ones are treated as `accept` says. Returns how many there were.
   */
  freeze(): number;
  /** Goes on where `freeze` stopped, for connections that are still there. */
  thaw(): void;
  /** Back to passing everything on; frozen connections are thawed. */
  heal(): void;
  stop(): Promise<void>;
}

const harmless: Conduct = { delayMs: 0, bytesPerSecond: undefined, accept: 'forward' };

/** What becomes of the nth connection (from 1) under a mischief. Pure: the same seed, the same fates. */
export function fateOf({ seed, share, withinBytes, stallMs }: Mischief, connection: number): Fate {
  const random = randomOf(seed, 'connection', connection);
  if (!random.chance(share)) return { kind: 'unharmed' };
  const kind = random.pick(['rst', 'fin', 'stall']);
  const afterBytes = random.whole(1, withinBytes);
  return kind === 'stall' ? { kind, afterBytes, ms: random.whole(1, stallMs) } : { kind, afterBytes };
}

/** Starts a proxy on a free port of 127.0.0.1. `target` is asked for each new connection, so it may move. */
export async function startTcpProxy(target: () => Address): Promise<TcpProxy> {
  let conduct = harmless;
  let mischief: Mischief | undefined;
  let accepted = 0;
  const harm: Record<string, number> = {};
  const links = new Set<Link>();
  const count = (kind: string, by = 1) => (harm[kind] = (harm[kind] ?? 0) + by);

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    accepted += 1;
    client.on('error', () => undefined);
    if (conduct.accept === 'refuse') {
      count('refused');
      reset(client);
      return;
    }
    const fate: Fate = mischief ? fateOf(mischief, accepted) : { kind: 'unharmed' };
    const upstream = conduct.accept === 'forward' ? connect({ ...target(), allowHalfOpen: true }) : undefined;
    if (!upstream) count('blackholed');
    const link = new Link(client, upstream, () => conduct, fate, count);
    links.add(link);
    client.once('close', () => links.delete(link));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('the proxy listens on no port');
  const address = { host: '127.0.0.1', port: bound.port };

  const proxy: TcpProxy = {
    address,
    url(text) {
      const url = new URL(text);
      url.hostname = address.host;
      url.port = String(address.port);
      // URL adds a slash that the original may not have had.
      return text.endsWith('/') ? url.href : url.href.replace(/\/$/, '');
    },
    get open() {
      return links.size;
    },
    get accepted() {
      return accepted;
    },
    harm,
    set(change) {
      conduct = { ...conduct, ...change };
    },
    setMischief(next) {
      mischief = next;
    },
    cut(how) {
      const cut = [...links];
      count(how, cut.length);
      for (const link of cut) link.cut(how);
      return cut.length;
    },
    freeze() {
      count('frozen', links.size);
      for (const link of links) link.freeze();
      return links.size;
    },
    thaw() {
      for (const link of links) link.thaw();
    },
    heal() {
      conduct = harmless;
      mischief = undefined;
      proxy.thaw();
    },
    async stop() {
      const closed = once(server, 'close');
      server.close();
      for (const link of links) link.cut('rst');
      await closed;
    },
  };
  return proxy;
}

/** One client's connection and ours to the server on its behalf; none when it was swallowed by a black hole. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket | undefined;
  readonly #conduct: () => Conduct;
  readonly #fate: Fate;
  readonly #count: (kind: string) => void;
  #bytes = 0;
  #met = false;
  /** Resolves when the link may go on; undefined while it may. */
  #hold: PromiseWithResolvers<undefined> | undefined;

  constructor(
    client: Socket,
    server: Socket | undefined,
    conduct: () => Conduct,
    fate: Fate,
    count: (kind: string) => void,
  ) {
    this.#client = client;
    this.#server = server;
    this.#conduct = conduct;
    this.#fate = fate;
    this.#count = count;
    if (!server) {
      // Nothing is read: whatever is sent stays in the kernel's buffers.
      client.pause();
      return;
    }
    server.setNoDelay(true);
    server.on('error', () => reset(client));
    client.on('error', () => reset(server));
    server.once('close', () => client.destroy());
    client.once('close', () => server.destroy());
    void this.#pump(client, server);
    void this.#pump(server, client);
  }

  cut(how: 'rst' | 'fin'): void {
    for (const socket of [this.#client, this.#server]) {
      if (!socket) continue;
      if (how === 'rst') reset(socket);
      else socket.end(() => socket.destroy());
    }
    this.thaw();
  }

  freeze(): void {
    this.#hold ??= Promise.withResolvers<undefined>();
  }

  thaw(): void {
    this.#hold?.resolve(undefined);
    this.#hold = undefined;
  }

  async #pump(from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        const { delayMs, bytesPerSecond } = this.#conduct();
        await wait(delayMs + (bytesPerSecond === undefined ? 0 : (chunk.length / bytesPerSecond) * 1000));
        const spared = await this.#meetFate(chunk, to);
        if (!spared) return;
        while (this.#hold) await this.#hold.promise;
        if (to.destroyed) return;
        if (!to.write(chunk)) await roomOrGone(to);
      }
      while (this.#hold) await this.#hold.promise;
      to.end();
    } catch {
      // A reset of either side; the listeners above pass it on.
    }
  }

  /** False when the connection did not survive. What comes before the byte that brings harm still goes through. */
  async #meetFate(chunk: Buffer, to: Socket): Promise<boolean> {
    const before = this.#bytes;
    this.#bytes += chunk.length;
    const fate = this.#fate;
    if (this.#met || fate.kind === 'unharmed' || this.#bytes < fate.afterBytes) return true;
    this.#met = true;
    this.#count(fate.kind);
    if (fate.kind === 'stall') {
      await wait(fate.ms);
      return true;
    }
    const last = chunk.subarray(0, fate.afterBytes - before - 1);
    if (last.length > 0 && !to.destroyed) await new Promise((resolve) => to.write(last, resolve));
    this.cut(fate.kind);
    return false;
  }
}

/** Ends a connection by RST. One that is shutting down cannot: Node would leave its socket open, and spin at exit. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

function wait(ms: number): Promise<void> {
  return ms <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms).unref());
}
