import type { S3Client } from '@aws-sdk/client-s3';

import { inSpan } from '../tracing.ts';

/** Puts every call of the client, its retries included, into a span: the operation and the HTTP status, no key. */
export function traceCalls(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const operation = (context.commandName ?? 'call').replace(/Command$/, '');
      return inSpan(`S3 ${operation}`, { 'rpc.system': 'aws-api', 'rpc.method': operation }, async (span) => {
        try {
          const answer = await next(args);
          span?.setAttributes(statusOf(answer.output));
          return answer;
        } catch (error) {
          span?.setAttributes(statusOf(error));
          throw error;
        }
      });
    },
    { step: 'initialize', name: 'traceCalls' },
  );
}

/** The status that the SDK keeps on answers and errors. */
function statusOf(outcome: unknown): Record<string, number> {
  if (typeof outcome !== 'object' || outcome === null || !('$metadata' in outcome)) return {};
  const { $metadata: metadata } = outcome;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return {};
  const { httpStatusCode: status } = metadata;
  return typeof status === 'number' ? { 'http.response.status_code': status } : {};
}
