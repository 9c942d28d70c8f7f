import { UdmError } from './errors.ts';

/** The time one call may take, with all its attempts and waits. */
export interface Deadline {
  /** Aborts when the time is up or the caller gives up; its reason is the error to throw. */
  readonly signal: AbortSignal;
  /** Milliseconds left, never below 0. */
  remaining(): number;
}

/** Runs the work under a deadline. Throws ERR_UDM_TIMEOUT when the time is up, the caller's reason when it aborts. */
export async function withDeadline<T>(
  endpoint: string,
  timeoutMs: number,
  caller: AbortSignal | undefined,
  work: (deadline: Deadline) => Promise<T>,
): Promise<T> {
  caller?.throwIfAborted();
  const controller = new AbortController();
  const signal = caller === undefined ? controller.signal : AbortSignal.any([caller, controller.signal]);
  const end = performance.now() + timeoutMs;
  const timer = setTimeout(() => {
    controller.abort(
      new UdmError('ERR_UDM_TIMEOUT', endpoint, `no answer within ${timeoutMs} ms.`, {
        retryable: true,
        hint: 'The upstream is slow or unreachable; it is tried again later.',
      }),
    );
  }, timeoutMs);
  try {
    return await work({ signal, remaining: () => Math.max(0, end - performance.now()) });
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for work shared with others, but no longer than this signal allows; the work itself goes on. */
export async function unlessAborted<T>(shared: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => {
    reject(signal.reason);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([shared, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
