/** The head of an HTTP/1.1 answer: what comes before the body. */
export interface ResponseHead {
  readonly status: number;
  /** By lower-case name; a repeated field's values are joined with a comma. */
  readonly headers: ReadonlyMap<string, string>;
  /** Whether the connection may carry another request afterwards. */
  readonly persistent: boolean;
}

const statusLine = /^HTTP\/1\.([01]) (\d{3})(?: .*)?$/;
const fieldLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*(.*?)[\t ]*$/;

/**
 * Parses a head strictly: what is not plain HTTP/1.x (folded lines, odd names, control characters) is none.
 *
 * @param text the head without its closing empty line, one byte a character
 * @returns undefined if it is not a head
 */
export function parseHead(text: string): ResponseHead | undefined {
  const [first = '', ...lines] = text.split('\r\n');
  const status = statusLine.exec(first);
  if (status === null) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const field = fieldLine.exec(line);
    const [, name = '', value = ''] = field ?? [];
    // eslint-disable-next-line no-control-regex -- a bare CR or NUL in a value is how answers are smuggled
    if (field === null || /[\u0000-\u0008\n-\u001f\u007f]/.test(value)) return undefined;
    const key = name.toLowerCase();
    const before = headers.get(key);
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  const connection = (headers.get('connection') ?? '').toLowerCase();
  const persistent = status[1] === '1' ? !/\bclose\b/.test(connection) : false;
  return { status: Number(status[2]), headers, persistent };
}

/** How an answer's body is delimited: by its length in bytes, by chunks, or by the end of the connection. */
export type Framing =
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' };

/** The framing of the answer to a GET; undefined if the head contradicts itself or names a coding we do not know. */
export function framingOf({ status, headers }: ResponseHead): Framing | undefined {
  if (status === 204 || status === 304) return { kind: 'length', bytes: 0 };
  const coding = headers.get('transfer-encoding');
  const length = headers.get('content-length');
  if (coding !== undefined)
    return coding.toLowerCase() === 'chunked' && length === undefined ? { kind: 'chunked' } : undefined;
  if (length === undefined) return { kind: 'close' };
  return /^\d{1,15}$/.test(length) ? { kind: 'length', bytes: Number(length) } : undefined;
}
