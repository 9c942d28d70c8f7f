import type { LookupFunction } from 'node:net';
import { ChunkedDecoder } from './chunked.ts';
import { framingOf, parseHead } from './http-head.ts';
import type { Framing, ResponseHead } from './http-head.ts';
import { SilenceError, SocketReader } from './socket-reader.ts';

export interface HttpGetOptions {
  readonly lookup: (encrypted: boolean) => LookupFunction;
  /** How long the origin may be silent while we wait for it, in ms. */
  readonly idleTimeoutMs: number;
}

/** A body that ended before the bytes that were announced. */
export class EarlyEndError extends Error {}

/** An answer whose body has not been read. Read it to its end, or destroy it. */
export interface GetAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Bytes of the body, if the head says so. */
  readonly length: number | undefined;
  /**
   * Reads at least `least` bytes of the body into the target.
   *
   * @returns how many; fewer than `least` only at the end of the body
   * @throws EarlyEndError, SilenceError, or what broke the connection
   */
  read(target: Uint8Array, least: number, onBytes?: (bytes: number) => void): Promise<number>;
  /** Closes the connection, unless the body has been read to its end. */
  destroy(): void;
}

const mostIdle = 64;

interface Origin {
  readonly idle: SocketReader[];
  tlsSession: Buffer | undefined;
}

/**
 * GET over HTTP/1.1 and nothing else: no redirects, no compression, no cookies, no proxies. It exists because the bytes
 * must go from the socket into the part without a detour (see SocketReader); whatever is not an API call with a large
 * body has no business here.
 */
export class HttpGet {
  readonly #options: HttpGetOptions;
  readonly #origins = new Map<string, Origin>();
  readonly #open = new Set<SocketReader>();

  constructor(options: HttpGetOptions) {
    this.#options = options;
  }

  /**
   * Sends the request and waits for the head of the answer. An idle connection that the origin has closed meanwhile is
   * replaced once.
   *
   * @throws SilenceError, the reason of the signal, or what went wrong with the connection
   */
  async get(url: URL, headers: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<GetAnswer> {
    signal?.throwIfAborted();
    const origin = this.#originOf(url);
    const idle = origin.idle.pop();
    if (idle && !idle.over) {
      try {
        return await this.#exchange(origin, idle, url, headers, signal);
      } catch (error) {
        signal?.throwIfAborted();
        // An idle connection was closed under our hands: that says nothing about the origin.
        if (!(error instanceof UnansweredError)) throw error;
      }
    }
    return unwrapped(this.#exchange(origin, this.#connect(url, origin), url, headers, signal));
  }

  /** Closes every connection. */
  close(): void {
    for (const reader of this.#open) reader.destroy();
  }

  #originOf(url: URL): Origin {
    const known = this.#origins.get(url.origin);
    if (known) return known;
    const origin = { idle: [], tlsSession: undefined };
    this.#origins.set(url.origin, origin);
    return origin;
  }

  #connect(url: URL, origin: Origin): SocketReader {
    const encrypted = url.protocol === 'https:';
    const reader: SocketReader = new SocketReader({
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? (encrypted ? 443 : 80) : Number(url.port),
      encrypted,
      lookup: this.#options.lookup(encrypted),
      idleTimeoutMs: this.#options.idleTimeoutMs,
      tlsSession: origin.tlsSession,
      onTlsSession: (session) => {
        origin.tlsSession = session;
      },
      onClose: () => {
        this.#open.delete(reader);
        const at = origin.idle.indexOf(reader);
        if (at >= 0) origin.idle.splice(at, 1);
      },
    });
    this.#open.add(reader);
    return reader;
  }

  async #exchange(
    origin: Origin,
    reader: SocketReader,
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<GetAnswer> {
    const abort = () => reader.destroy(new Error('aborted'));
    // The whole head has as long as any silence may last: one that drips byte by byte is no answer either.
    const timer = setTimeout(
      () => reader.destroy(new SilenceError('the head of the answer took too long')),
      this.#options.idleTimeoutMs,
    );
    signal?.addEventListener('abort', abort, { once: true });
    const forget = () => signal?.removeEventListener('abort', abort);
    try {
      const fields = Object.entries({ host: url.host, connection: 'keep-alive', ...headers });
      // A URL holds no line ends, the parser has encoded them; an ETag may come from the database.
      if (fields.some(([, value]) => !/^[\x20-\x7e\x80-\xff]*$/.test(value)))
        throw new Error('a header to be sent holds a control character');
      const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
      reader.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\n${lines}\r\n`);
      const head = await readHead(reader);
      clearTimeout(timer);
      const framing = framingOf(head);
      if (!framing) throw new Error('the answer says two things about its own length');
      const done = () => {
        forget();
        const reusable = head.persistent && framing.kind !== 'close' && reader.buffered.length === 0;
        if (!reusable || reader.over || origin.idle.length >= mostIdle) reader.destroy();
        else {
          origin.idle.push(reader);
          reader.rest();
        }
      };
      return new Answer(reader, head, framing, done, forget);
    } catch (error) {
      clearTimeout(timer);
      forget();
      reader.destroy();
      signal?.throwIfAborted();
      throw error;
    }
  }
}

/** The connection ended without a byte of an answer. */
class UnansweredError extends Error {
  constructor(cause: unknown) {
    super('the connection was closed without an answer', { cause });
  }
}

async function unwrapped<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw error instanceof UnansweredError && error.cause instanceof Error ? error.cause : error;
  }
}

async function readHead(reader: SocketReader): Promise<ResponseHead> {
  for (;;) {
    const { buffered } = reader;
    const end = buffered.indexOf('\r\n\r\n');
    if (end < 0) {
      const nothing = buffered.length === 0;
      const more = await reader.more().catch((error: unknown) => {
        throw nothing && isClosed(error) ? new UnansweredError(error) : error;
      });
      if (!more) {
        const error = new Error('the connection ended before the answer');
        throw nothing ? new UnansweredError(error) : error;
      }
      continue;
    }
    const head = parseHead(buffered.toString('latin1', 0, end));
    if (!head) throw new Error('the answer is not HTTP');
    reader.consume(end + 4);
    // 100 Continue, 103 Early Hints: the answer is still to come.
    if (head.status < 200) continue;
    reader.beginBody();
    return head;
  }
}

/** Whether the peer closed or reset the connection, as it does with idle ones. */
function isClosed(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

class Answer implements GetAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly length: number | undefined;
  readonly #reader: SocketReader;
  readonly #framing: Framing;
  readonly #done: () => void;
  readonly #forget: () => void;
  readonly #chunks = new ChunkedDecoder();
  #left: number;
  #over = false;

  constructor(
    reader: SocketReader,
    head: ResponseHead,
    framing: Framing,
    done: () => void,
    forget: () => void,
  ) {
    this.#reader = reader;
    this.status = head.status;
    this.headers = head.headers;
    this.#framing = framing;
    this.length = framing.kind === 'length' ? framing.bytes : undefined;
    this.#left = this.length ?? Infinity;
    this.#done = done;
    this.#forget = forget;
    if (this.#left === 0) this.#finish();
  }

  async read(target: Uint8Array, least: number, onBytes?: (bytes: number) => void): Promise<number> {
    if (this.#over) return 0;
    if (this.#framing.kind === 'chunked') return this.#readChunks(target, least, onBytes);
    const wanted = target.byteLength > this.#left ? target.subarray(0, this.#left) : target;
    const enough = Math.min(least, wanted.byteLength);
    const got = await this.#reader.fill(wanted, enough, onBytes);
    this.#left -= got;
    if (this.#left === 0) this.#finish();
    else if (got < enough) {
      if (this.#framing.kind === 'length') throw new EarlyEndError(`${this.#left} bytes are missing`);
      this.#finish();
    }
    return got;
  }

  async #readChunks(
    target: Uint8Array,
    least: number,
    onBytes: ((bytes: number) => void) | undefined,
  ): Promise<number> {
    let got = 0;
    while (got < Math.max(least, 1) && !this.#over) {
      const { buffered } = this.#reader;
      if (buffered.length === 0) {
        if (!(await this.#reader.more())) throw new Error('the connection ended among the chunks');
        continue;
      }
      const { taken, content } = this.#chunks.take(buffered.subarray(0, target.byteLength - got));
      target.set(content, got);
      got += content.length;
      if (content.length > 0) onBytes?.(content.length);
      this.#reader.consume(taken);
      if (this.#chunks.done) this.#finish();
    }
    return got;
  }

  destroy(): void {
    if (this.#over) return;
    this.#over = true;
    this.#forget();
    this.#reader.destroy();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#done();
  }
}
