/** Options every error of ours accepts. */
export interface ErrorDetails {
  /** What went wrong underneath, kept for the log. */
  readonly cause?: unknown;
  /** One sentence that tells the operator what to do. */
  readonly hint?: string;
  /** Whether trying the same thing again later can help. Default false. */
  readonly retryable?: boolean;
}

/**
 * The base of every error this program raises on purpose.
 *
 * `code` is stable and documented (docs/errors.md); `message` says what happened; `hint` says what to do.
 * Neither may carry a secret: no token, API key, password or pre-signed query string.
 */
export class UdmSyncError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly retryable: boolean;

  constructor(code: string, message: string, options: ErrorDetails = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
    this.retryable = options.retryable ?? false;
  }
}

/** A setting, flag or argument is wrong: exit code 2, nothing was changed. */
export class UsageError extends UdmSyncError {
  constructor(message: string, options: ErrorDetails = {}) {
    super('ERR_USAGE', message, options);
  }
}

/** The sentence an operator reads: what happened, then what to do. Never a stack. */
export function describeError(error: unknown): string {
  if (error instanceof UdmSyncError)
    return [error.message, error.hint ?? ''].join(error.message.endsWith('\n') ? '' : ' ').trimEnd();
  // Drizzle's wrapper quotes the query; its cause says what happened.
  if (error instanceof Error && error.message.startsWith('Failed query:') && error.cause instanceof Error)
    return describeError(error.cause);
  if (error instanceof AggregateError && error.errors.length > 0) return describeError(error.errors[0]);
  if (error instanceof Error) return error.message || error.name;
  // pg-boss emits copies of errors, which are plain objects.
  if (typeof error === 'object' && error !== null)
    for (const word of ['message', 'code', 'name']) {
      const text: unknown = Reflect.get(error, word);
      if (typeof text === 'string' && text !== '') return text;
    }
  return String(error);
}
