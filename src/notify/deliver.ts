/** How one attempt at a webhook ended. Nothing of the URL or of the answer's body is in it. */
export interface Delivery {
  /** Whether it arrived: a 2xx answer. */
  readonly ok: boolean;
  readonly status: number | undefined;
  /** For people: `HTTP 410`, `no answer (ECONNRESET)`. */
  readonly said: string;
  /** How long the receiver asks to be left alone, in ms. */
  readonly retryAfterMs: number | undefined;
  /** The receiver did not like what the message says: it will not the next time either. */
  readonly refused: boolean;
}

const disliked: readonly number[] = [400, 413, 422];

/** Posts JSON, once. Follows no redirect: a secret in the URL would go wherever the answer says. Never rejects. */
export async function deliver(
  url: string,
  body: string,
  { id, timeoutMs }: { readonly id: string; readonly timeoutMs: number },
): Promise<Delivery> {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'user-agent': 'udm-sync',
        'idempotency-key': id,
      },
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    const { ok, status } = answer;
    // Nobody reads it, and it may be endless.
    await answer.body?.cancel().catch(() => undefined);
    return {
      ok,
      status,
      said: `HTTP ${status}`,
      retryAfterMs: secondsOf(answer.headers.get('retry-after')),
      refused: disliked.includes(status),
    };
  } catch (error) {
    const said = `no answer (${reasonOf(error, timeoutMs)})`;
    return { ok: false, status: undefined, said, retryAfterMs: undefined, refused: false };
  }
}

function secondsOf(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}

/** A code, never a message: messages of libraries quote URLs. */
function reasonOf(error: unknown, timeoutMs: number): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `none within ${timeoutMs} ms`;
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    if ('code' in cause && typeof cause.code === 'string' && /^[A-Z0-9_]+$/.test(cause.code))
      return cause.code;
  return 'the connection failed';
}
