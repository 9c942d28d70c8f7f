import type { S3Client } from '@aws-sdk/client-s3';

/** The calls whose bodies are files. */
const withFiles = new Set(['UploadPartCommand', 'PutObjectCommand']);

/**
 * Lets a client send files without signing their SHA-256 (`x-amz-content-sha256: UNSIGNED-PAYLOAD`), by the SDK's own
 * middleware. TLS guards the bytes on the way, and the CRC-32 that goes along in a signed header guards the rest.
 */
export function leavePayloadUnsigned(client: S3Client, when: 'auto' | 'always' | 'never'): void {
  if (when === 'always') return;
  client.middlewareStack.add(
    (next, context) => (args) => {
      const { request } = args;
      if (withFiles.has(String(context.commandName)) && isHttpRequest(request)) {
        if (when === 'never' || request.protocol === 'https:')
          request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
      }
      return next(args);
    },
    { step: 'build', name: 'leavePayloadUnsigned' },
  );
}

function isHttpRequest(value: unknown): value is { protocol: string; headers: Record<string, string> } {
  return typeof value === 'object' && value !== null && 'protocol' in value && 'headers' in value;
}
