import type { ServerResponse } from 'node:http';
import type { FiredFaults } from './faults.ts';
import type { RequestRecord } from './records.ts';
import { roomOrGone } from './room.ts';

/** A body whose bytes are made as they are sent. */
export interface Body {
  /** Bytes. */
  readonly length: number;
  chunks(): Iterable<Uint8Array>;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Body;
}

export function textAnswer(
  status: number,
  type: string,
  text: string,
  headers: Record<string, string> = {},
): Answer {
  const bytes = Buffer.from(text);
  return {
    status,
    headers: { 'content-type': type, ...headers },
    body: { length: bytes.length, chunks: () => [bytes] },
  };
}

export function jsonAnswer(status: number, value: unknown, headers: Record<string, string> = {}): Answer {
  return textAnswer(status, 'application/json;charset=utf-8', JSON.stringify(value), headers);
}

export const emptyAnswer = (status: number): Answer => ({ status });

/** An error as the upstream words it. */
export const refusal = (status: number, message: string): Answer => jsonAnswer(status, { message });

/** An error as S3 words it. */
export function xmlRefusal(
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): Answer {
  const text =
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    `<Error><Code>${code}</Code><Message>${message}</Message><RequestId>SIMULATED</RequestId></Error>`;
  return textAnswer(status, 'application/xml', text, headers);
}

/** Sends an answer, bent by the faults that hit the request, and notes in the record what left. */
export async function send(
  res: ServerResponse,
  answer: Answer,
  faults: FiredFaults,
  record: RequestRecord,
): Promise<void> {
  const length = answer.body?.length ?? 0;
  const cut = faults.get('reset-mid-body', 'truncate', 'truncate-chunked');
  const limit = cut ? Math.min(length, cut.afterBytes ?? Math.floor(length / 2)) : length;
  const chunked = cut?.kind === 'truncate-chunked' || faults.has('no-length');
  const headers: Record<string, string> = { ...answer.headers };
  if (answer.body && !chunked) headers['content-length'] = String(length);
  else if (!answer.body && answer.status !== 204 && answer.status !== 304) headers['content-length'] = '0';
  if (faults.has('no-etag')) delete headers['etag'];

  res.writeHead(answer.status, headers);
  res.flushHeaders();
  for (const chunk of answer.body?.chunks() ?? []) {
    if (res.destroyed || record.bytesSent >= limit) break;
    const piece = chunk.subarray(0, limit - record.bytesSent);
    const room = res.write(piece);
    record.bytesSent += piece.length;
    if (!room) await roomOrGone(res);
  }
  if (res.destroyed) {
    record.outcome = 'client-gone';
    return;
  }
  if (cut && cut.kind !== 'truncate-chunked' && limit < length) {
    record.outcome = 'cut';
    const socket = res.socket;
    // An empty write calls back once everything before it was handed to the kernel.
    if (cut.kind === 'truncate') socket?.end();
    else socket?.write('', () => socket.resetAndDestroy());
    return;
  }
  record.outcome = cut ? 'cut' : 'answered';
  res.end();
}
