import { pino } from 'pino';
import type { Logger as PinoLogger } from 'pino';
import { printableJson, printableJsonTexts } from './printable.ts';

export type Logger = PinoLogger;

/** Paths that never reach a log line, wherever an object that carries them is logged. */
const redact = [
  'authorization',
  'Authorization',
  'apiKey',
  'password',
  'clientSecret',
  'token',
  'accessToken',
  'refreshToken',
  'secretAccessKey',
  'location',
].flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/**
 * The process's logger: JSON lines on stdout (or the given file descriptor), pretty on a TTY.
 *
 * @param level pino level name, or `silent`
 * @param format `json`, `pretty`, or `auto` (pretty when the stream is a TTY)
 */
export function createLogger(
  level = 'info',
  format: 'auto' | 'json' | 'pretty' = 'auto',
  destination: 1 | 2 = 1,
): Logger {
  const stream = destination === 1 ? process.stdout : process.stderr;
  const pretty = format === 'pretty' || (format === 'auto' && stream.isTTY);
  // Names and words from outside may hold what JSON leaves as it is and a terminal obeys.
  const streamWrite = pretty ? printableJsonTexts : printableJson;
  const base = { level, redact: { paths: redact, censor: '[redacted]' }, base: null, hooks: { streamWrite } };
  if (pretty)
    return pino({ ...base, transport: { target: 'pino-pretty', options: { destination, sync: true } } });
  return pino(
    {
      ...base,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ dest: destination, sync: true }),
  );
}
