/** Keeps credentials out of whatever is shown: errors, excerpts, log lines. */
export interface Redactor {
  /** Names a value that must never be shown, in any of the spellings an answer may echo it in. */
  add(secret: string): void;
  /** The text without the secrets named so far and without what looks like a credential. */
  text(text: string): string;
  /** One line of at most 200 characters, redacted; undefined for an empty answer. */
  excerpt(body: string | Uint8Array): string | undefined;
  /** A plain error with the code and message of another: libraries hang headers and URLs on theirs. */
  cause(error: unknown): Error;
}

const mask = '[redacted]';
const excerptLength = 200;
/** Enough of an answer to cut an excerpt from; redacting 16 MiB to show 200 characters would be waste. */
const readLength = 64 * 1024;

// JSON may write the slashes of a URL as \/.
const queryOfUrl = /(https?:(?:\\?\/){2}[^\s"'<>?]*)\?[^\s"'<>]*/gi;
const scheme = /\b(bearer|basic)\s+[\w.~+/=-]+/gi;
const namedSecret =
  /((?:[\w-]*(?:token|password|secret|api[-_]?key|authorization|signature|credential|accesskeyid)[\w-]*|x-amz-[\w-]+)\\?["']?\s*[:=>]\s*\\?["']?)(?!\[redacted)[^"'&\s,;<>}\\]+/gi;

/** @param secrets values that must never be shown: API key, client secret, password, tokens */
export function createRedactor(secrets: readonly string[] = []): Redactor {
  const known = new Set<string>();

  function add(secret: string): void {
    // Shorter ones would blot out ordinary words and still not be protected by it.
    if (secret.length < 4) return;
    for (const spelling of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)])
      known.add(spelling);
  }

  function text(input: string): string {
    let output = input;
    // The longest first, so that a secret that contains another leaves no tail.
    for (const secret of [...known].sort((a, b) => b.length - a.length))
      output = output.replaceAll(secret, mask);
    return output
      .replace(queryOfUrl, `$1?${mask}`)
      .replace(scheme, `$1 ${mask}`)
      .replace(namedSecret, `$1${mask}`);
  }

  function excerpt(body: string | Uint8Array): string | undefined {
    const start = typeof body === 'string' ? body.slice(0, readLength) : decode(body.subarray(0, readLength));
    const line = text(start)
      // eslint-disable-next-line no-control-regex -- control characters would reach the operator's terminal
      .replace(/[\s\u0000-\u001f\u007f-\u009f]+/g, ' ')
      .trim();
    if (line === '') return undefined;
    return line.length <= excerptLength ? line : `${line.slice(0, excerptLength - 1)}…`;
  }

  function cause(error: unknown): Error {
    if (!(error instanceof Error)) return new Error(text(String(error)));
    const plain = new Error(text(error.message));
    const code = codeOf(error);
    return code === undefined ? plain : Object.assign(plain, { code });
  }

  for (const secret of secrets) add(secret);
  return { add, text, excerpt, cause };
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** The code of an error; that of its cause comes first, as wrappers tend to put a general one on top. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const own = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return codeOf(error.cause) ?? own;
}
