import { Buffer } from 'node:buffer';
import { connect as connectPlain } from 'node:net';
import type { LookupFunction, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** What nobody has given a place to (heads, chunk lines, the first stretch of a body) lands in a buffer of this size. */
const landingBytes = 16 * 1024;
/** More than this at once is no head and no line, in bytes. */
const mostPending = 256 * 1024;
const none = Buffer.alloc(0);

/** A body that comes more slowly than this, in bytes per second, counts as silence: it would hold its place for days. */
const leastBytesPerSecond = 1024;

/** Nothing, or next to nothing, came for the idle time while somebody was waiting. */
export class SilenceError extends Error {}

export interface SocketReaderOptions {
  readonly host: string;
  readonly port: number;
  readonly encrypted: boolean;
  readonly lookup: LookupFunction;
  /** How long the peer may be silent while somebody waits for it, in ms. */
  readonly idleTimeoutMs: number;
  /** Session to resume, and where new ones are put. */
  readonly tlsSession?: Buffer | undefined;
  readonly onTlsSession?: (session: Buffer) => void;
  /** The connection is over. */
  readonly onClose: () => void;
}

/** Somebody waits until `least` bytes of the target are filled; without a target, until anything has come. */
interface Wanted {
  readonly target: Uint8Array | undefined;
  readonly least: number;
  readonly onBytes: ((bytes: number) => void) | undefined;
  filled: number;
  readonly settle: (error?: Error) => void;
}

/**
 * A socket that reads straight into its reader's memory: the kernel copies into the part that is sent on, with no
 * buffer per chunk in between. Node's `http` allocates and copies each chunk twice, which is half of the price of a
 * transfer (docs/benchmarks.md).
 *
 * Nothing is read unless somebody waits, so a slow reader holds the peer back.
 */
export class SocketReader {
  readonly #socket: Socket;
  readonly #landing = Buffer.allocUnsafeSlow(landingBytes);
  readonly #timer: NodeJS.Timeout;
  readonly #idleTimeoutMs: number;
  /** How long bytes have been waited for since `#heard` began to count, in ms. */
  #waited = 0;
  #heard = 0;
  /** When the present waiting began, or last had bytes. */
  #since = 0;
  /** What has come and was not taken yet: a view of the landing buffer, until more has to land there. */
  #pending: Buffer = none;
  #wanted: Wanted | undefined;
  #ended = false;
  #failure: Error | undefined;
  #idle = false;

  constructor(options: SocketReaderOptions) {
    const onread = {
      buffer: () => this.#nextBuffer(),
      callback: (bytes: number, buffer: Uint8Array) => this.#arrived(bytes, buffer),
    };
    const { host, port, lookup, tlsSession, idleTimeoutMs } = options;
    // SNI wants a name; an address has none.
    const servername = /^[\d.]+$|:/.test(host) ? '' : host;
    this.#socket = options.encrypted
      ? connectTls({
          host,
          port,
          lookup,
          servername,
          ALPNProtocols: ['http/1.1'],
          ...(tlsSession === undefined ? {} : { session: tlsSession }),
          ...{ onread },
        })
      : connectPlain({ host, port, lookup, onread });
    if (options.onTlsSession) this.#socket.on('session', options.onTlsSession);
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true, 30_000);
    this.#socket.on('error', (error) => this.#over(error));
    this.#socket.on('end', () => this.#over(undefined));
    this.#socket.on('close', () => {
      this.#over(undefined);
      clearTimeout(this.#timer);
      options.onClose();
    });
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#timer = setTimeout(() => {
      if (this.#wanted) this.destroy(new SilenceError(`next to nothing came for ${idleTimeoutMs} ms`));
      else if (this.#idle) this.destroy();
    }, idleTimeoutMs);
    this.#timer.unref();
  }

  /** What has come and was not taken yet; valid until more is read. */
  get buffered(): Buffer {
    return this.#pending;
  }

  /** Whether the peer has ended the connection, or it broke. */
  get over(): boolean {
    return this.#ended;
  }

  /** Takes bytes off the front of `buffered`. */
  consume(bytes: number): void {
    this.#pending = bytes === this.#pending.length ? none : this.#pending.subarray(bytes);
  }

  /** A body begins: how slowly its head came does not count against it. */
  beginBody(): void {
    this.#waited = 0;
    this.#heard = 0;
  }

  write(text: string): void {
    this.#idle = false;
    this.#socket.ref();
    this.#socket.write(text, 'latin1');
  }

  /** Waits for more bytes in `buffered`; false at the end of the connection. Throws what broke it. */
  async more(): Promise<boolean> {
    this.#pending = Buffer.from(this.#pending);
    if (this.#pending.length > mostPending)
      throw new Error('the answer has a head or a line that is too long');
    return (await this.#want(undefined, 1, undefined)) > 0;
  }

  /**
   * Reads at least `least` bytes into the target, and no more than fit.
   *
   * @param onBytes told of bytes as they arrive
   * @returns how many; fewer than `least` only at the end of the connection. Throws what broke it.
   */
  async fill(target: Uint8Array, least: number, onBytes?: (bytes: number) => void): Promise<number> {
    const ready = Math.min(this.#pending.length, target.byteLength);
    if (ready > 0) {
      target.set(this.#pending.subarray(0, ready));
      this.consume(ready);
      onBytes?.(ready);
    }
    if (ready >= least) return ready;
    return ready + (await this.#want(target.subarray(ready), least - ready, onBytes));
  }

  /** Nobody needs the connection now: the process may end, and any byte or a long silence ends it. */
  rest(): void {
    this.#idle = true;
    this.#timer.refresh();
    this.#socket.unref();
    this.#socket.resume();
  }

  destroy(error?: Error): void {
    this.#failure ??= error;
    this.#socket.destroy();
    this.#over(error);
  }

  #want(
    target: Uint8Array | undefined,
    least: number,
    onBytes: ((bytes: number) => void) | undefined,
  ): Promise<number> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve(0);
    return new Promise((resolve, reject) => {
      const wanted: Wanted = {
        target,
        least,
        onBytes,
        filled: 0,
        settle: (error) => {
          this.#wanted = undefined;
          if (error) reject(error);
          else resolve(wanted.filled);
        },
      };
      this.#wanted = wanted;
      this.#since = performance.now();
      this.#timer.refresh();
      this.#socket.resume();
    });
  }

  /** Where the socket reads next: Node asks after each read. */
  #nextBuffer(): Uint8Array {
    const wanted = this.#wanted;
    return wanted?.target ? wanted.target.subarray(wanted.filled) : this.#landing;
  }

  #arrived(bytes: number, buffer: Uint8Array): boolean {
    this.#timer.refresh();
    const wanted = this.#wanted;
    if (!wanted) {
      this.destroy(new Error('the peer sent bytes that do not belong to any answer'));
      return false;
    }
    let useful = bytes;
    if (buffer === this.#landing) {
      const landed = this.#landing.subarray(0, bytes);
      const room = wanted.target?.subarray(wanted.filled) ?? none;
      if (wanted.target) {
        useful = Math.min(room.byteLength, bytes);
        room.set(landed.subarray(0, useful));
      }
      const rest = wanted.target ? landed.subarray(useful) : landed;
      if (rest.length > 0)
        this.#pending = this.#pending.length > 0 ? Buffer.concat([this.#pending, rest]) : rest;
    }
    wanted.filled += useful;
    if (this.#drips(bytes)) {
      this.destroy(new SilenceError('the body drips'));
      return false;
    }
    wanted.onBytes?.(useful);
    if (wanted.filled >= wanted.least) {
      // Nothing more is read until somebody wants it.
      this.#socket.pause();
      wanted.settle();
    }
    return true;
  }

  /** Whether bytes come so slowly that they might as well not. Time in which nobody waits does not count. */
  #drips(bytes: number): boolean {
    const now = performance.now();
    this.#waited += now - this.#since;
    this.#since = now;
    this.#heard += bytes;
    if (this.#waited < this.#idleTimeoutMs) return false;
    const tooFew = this.#heard < (leastBytesPerSecond * this.#waited) / 1000;
    this.#waited = 0;
    this.#heard = 0;
    return tooFew;
  }

  #over(error: Error | undefined): void {
    this.#ended = true;
    this.#failure ??= error;
    this.#wanted?.settle(this.#failure);
  }
}
