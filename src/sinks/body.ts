import { SinkError } from './errors.ts';

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error
    ? signal.reason
    : new DOMException('The put was aborted.', 'AbortError');
}

/** Settles like the promise, or rejects as soon as the signal aborts. */
function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(reasonOf(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** A body that is not as long as its source announced. */
export function lengthError(announced: number, got: string): SinkError {
  return new SinkError('ERR_BODY_LENGTH', `The body was announced with ${announced} bytes but ${got}.`, {
    retryable: true,
    hint: 'The source ended early or changed while it was read; nothing was stored and it is read again.',
  });
}

/**
 * The body, pulled on demand, held to its announced length in bytes and given up as soon as the signal aborts,
 * even while the source is silent.
 *
 * @throws {SinkError} `ERR_BODY_LENGTH` (retryable) when the body ends before or goes beyond `length`
 */
export async function* guardBody(
  body: AsyncIterable<Uint8Array>,
  length: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const source = body[Symbol.asyncIterator]();
  let bytes = 0;
  let pulling = false;
  let ended = false;
  try {
    for (;;) {
      if (signal.aborted) throw reasonOf(signal);
      pulling = true;
      const next = await orAbort(source.next(), signal);
      pulling = false;
      if (next.done === true) {
        ended = true;
        break;
      }
      bytes += next.value.byteLength;
      if (length !== undefined && bytes > length) throw lengthError(length, 'went on beyond them');
      yield next.value;
    }
    if (length !== undefined && bytes < length) throw lengthError(length, `ended after ${bytes}`);
  } finally {
    if (!ended) {
      // The first error counts, not what the source says while it is closed.
      const closed = Promise.resolve(source.return?.()).catch(() => undefined);
      // A source that never answered the last pull would not answer this either.
      if (!pulling) await closed;
    }
  }
}
