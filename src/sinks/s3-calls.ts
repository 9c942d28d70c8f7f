import type { S3Client } from '@aws-sdk/client-s3';

/** One attempt of an S3 call, as `onCall` sees it. */
export interface S3Call {
  /** Such as `UploadPart`. */
  readonly operation: string;
  /** Absent when no answer came. */
  readonly status?: number;
  /** Until the answer's headers. */
  readonly durationMs: number;
  /** Counted from 1. */
  readonly attempt: number;
}

/** Reports every attempt of every call of a client, the SDK's own retries included. */
export function reportCalls(client: S3Client, onCall: (call: S3Call) => void): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const begun = performance.now();
      let status: number | undefined;
      try {
        const answer = await next(args);
        status = numberAt(answer.response, 'statusCode');
        return answer;
      } finally {
        onCall({
          operation: (context.commandName ?? 'unknown').replace(/Command$/, ''),
          ...(status === undefined ? {} : { status }),
          durationMs: performance.now() - begun,
          attempt: attemptOf(args.request),
        });
      }
    },
    // Inside of the retries, and before an answer with an error is turned into one.
    { step: 'deserialize', priority: 'low', name: 'udmSyncReportCalls' },
  );
}

/** The SDK numbers its attempts in a header: `attempt=2; max=5`. */
function attemptOf(request: unknown): number {
  const header = valueAt(valueAt(request, 'headers'), 'amz-sdk-request');
  return typeof header === 'string' ? Number(/attempt=(\d+)/.exec(header)?.[1] ?? 1) : 1;
}

function numberAt(value: unknown, name: string): number | undefined {
  const found = valueAt(value, name);
  return typeof found === 'number' ? found : undefined;
}

function valueAt(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
