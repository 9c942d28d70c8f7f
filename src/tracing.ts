import { createHash } from 'node:crypto';
import { SpanStatusCode } from '@opentelemetry/api';
import type { Attributes, Span, Tracer } from '@opentelemetry/api';
import { UdmSyncError } from './errors.ts';

/**
 * Spans (docs/traces.md). Here is the API alone, which does nothing until src/cli/traces.ts has loaded an SDK; so
 * every part may call this, and pays nothing while traces are off.
 */
let tracer: Tracer | undefined;

/** Turns spans on, or off again. Not the API's global tracer: what libraries say of themselves may quote messages. */
export function traceWith(on: Tracer | undefined): void {
  tracer = on;
}

/** What a span about a run carries. */
export interface TracedRun {
  readonly id: number;
  readonly definition: string;
  readonly tenant: string;
  readonly attempt: number;
  readonly createdAt: Date;
}

/** The attributes that every span about a run carries. */
export function runAttributes({ id, definition, tenant, attempt }: TracedRun): Attributes {
  return {
    'udm_sync.run': id,
    'udm_sync.definition': definition,
    'udm_sync.tenant': tenant,
    'udm_sync.attempt': attempt,
  };
}

/** The id of the trace that a span without a parent begins; undefined: any. Taken by the SDK's id generator. */
let nextTraceId: string | undefined;

export function takeTraceId(): string | undefined {
  const id = nextTraceId;
  nextTraceId = undefined;
  return id;
}

/** All steps of a run are in one trace, whichever process does them: its id is derived from the run. */
export function traceIdOf({ id, createdAt }: Pick<TracedRun, 'id' | 'createdAt'>): string {
  return createHash('sha256').update(`${id} ${createdAt.toISOString()}`).digest('hex').slice(0, 32);
}

/** Does something in a span of its own, at the top of the trace of a run. */
export function inRunSpan<T>(
  name: string,
  run: TracedRun,
  attributes: Attributes,
  work: () => Promise<T>,
): Promise<T> {
  if (!tracer) return work();
  nextTraceId = traceIdOf(run);
  try {
    return inSpan(name, { ...runAttributes(run), ...attributes }, work, true);
  } finally {
    nextTraceId = undefined;
  }
}

/** Does something in a span, below the one under way. A failure is on it by its code: messages may quote much. */
export function inSpan<T>(
  name: string,
  attributes: Attributes,
  work: (span: Span | undefined) => Promise<T>,
  root = false,
): Promise<T> {
  if (!tracer) return work(undefined);
  return tracer.startActiveSpan(name, { attributes, root }, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      failed(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Notes a failure on a span, without its message. */
export function failed(span: Span, error: unknown): void {
  const type = error instanceof UdmSyncError ? error.code : error instanceof Error ? error.name : 'Error';
  span.setStatus({ code: SpanStatusCode.ERROR }).setAttribute('error.type', type);
}

/** A span of a call that is over: an attempt at the upstream, as its endpoint's template names it. */
export function traceCall(report: {
  readonly endpoint: string;
  readonly status?: number;
  readonly durationMs: number;
  readonly attempt: number;
}): void {
  if (!tracer) return;
  const { endpoint, status, durationMs, attempt } = report;
  const [method = '', route = ''] = endpoint.split(' ');
  const end = Date.now();
  const span = tracer.startSpan(`upstream ${endpoint}`, {
    startTime: end - durationMs,
    attributes: {
      'http.request.method': method,
      'http.route': route,
      'http.request.resend_count': attempt - 1,
      ...(status === undefined ? {} : { 'http.response.status_code': status }),
    },
  });
  if (status === undefined || status >= 400) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end(end);
}
