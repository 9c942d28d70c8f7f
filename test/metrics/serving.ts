import { once } from 'node:events';
import { createServer } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Pipeline } from '../../src/jobs/context.ts';
import { createPulse } from '../../src/metrics/pulse.ts';
import type { Pulse } from '../../src/metrics/pulse.ts';
import { serveMetrics } from '../../src/metrics/serve.ts';

/** A port that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a server listens on a port');
  return address.port;
}

export interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly text: string;
}

/** What is served under a URL. Whatever hangs fails here, and not by the test's own time limit. */
export async function get(url: string, method = 'GET'): Promise<Answer> {
  const answer = await fetch(url, { method, signal: AbortSignal.timeout(30_000) });
  return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() };
}

/** Serves the metrics of a pipeline until the test ends. */
export async function serve(
  pipeline: Pipeline,
  url: string,
  pulse: Pulse = createPulse(),
): Promise<(path: string, method?: string) => Promise<Answer>> {
  const port = await freePort();
  const config = { ...pipeline.config, metrics: { port, host: '127.0.0.1' } };
  const server = await serveMetrics({ ...pipeline, config }, { url, version: '1.2.3', pulse });
  onTestFinished(() => server.close());
  return (path, method) => get(`http://127.0.0.1:${port}${path}`, method);
}

/** One series of an exposition, or undefined. Labels in any order. */
export function valueOf(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  for (const line of text.split('\n')) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] !== name) continue;
    const found = Object.fromEntries(
      [...(match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', value = '']) => [
        key,
        value,
      ]),
    );
    if (Object.entries(labels).every(([key, value]) => found[key] === value)) return Number(match[3]);
  }
  return undefined;
}
