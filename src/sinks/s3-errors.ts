import { printable } from '../printable.ts';
import { SinkError } from './errors.ts';
import type { SinkErrorCode } from './errors.ts';

/** A store explains itself in a sentence; what is longer is no explanation. */
const longestMessage = 500;

/** The S3 calls we make, each with the permissions it needs. */
const permissions = {
  PutObject: 's3:PutObject (with SSE-KMS also kms:GenerateDataKey)',
  CreateMultipartUpload: 's3:PutObject (with SSE-KMS also kms:GenerateDataKey and kms:Decrypt)',
  UploadPart: 's3:PutObject (with SSE-KMS also kms:GenerateDataKey and kms:Decrypt)',
  CompleteMultipartUpload: 's3:PutObject (with SSE-KMS also kms:Decrypt)',
  AbortMultipartUpload: 's3:AbortMultipartUpload',
  ListParts: 's3:ListMultipartUploadParts',
  HeadObject: 's3:GetObject, and s3:ListBucket, without which a missing object also answers 403',
  GetObject: 's3:GetObject (with SSE-KMS also kms:Decrypt), and s3:ListBucket',
  DeleteObject: 's3:DeleteObject',
  ListMultipartUploads: 's3:ListBucketMultipartUploads',
} as const;

export type S3Operation = keyof typeof permissions;

/** What is kept of an SDK error: the original also carries the request, its headers and its signature. */
export interface S3Cause {
  readonly name: string;
  readonly message: string;
  readonly status?: number;
  readonly requestId?: string;
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function textField(value: unknown, name: string): string | undefined {
  const text = field(value, name);
  return typeof text === 'string' ? text : undefined;
}

/** The part of an SDK or network error that may be shown and logged. */
export function s3Cause(error: unknown): S3Cause {
  const metadata = field(error, '$metadata');
  const status = field(metadata, 'httpStatusCode');
  const requestId = textField(metadata, 'requestId');
  return {
    // A network error says most by its code: ECONNREFUSED, ENOTFOUND.
    name: textField(error, 'code') ?? textField(error, 'name') ?? 'Error',
    message: printable(textField(error, 'message') ?? '').slice(0, longestMessage),
    ...(typeof status === 'number' ? { status } : {}),
    ...(requestId === undefined ? {} : { requestId }),
  };
}

interface Verdict {
  readonly code: SinkErrorCode;
  readonly hint: string;
  readonly retryable?: boolean;
}

const words: Readonly<Record<string, SinkErrorCode>> = {
  NoSuchBucket: 'ERR_SINK_BUCKET',
  InvalidBucketName: 'ERR_SINK_BUCKET',
  NoSuchKey: 'ERR_NOT_FOUND',
  NotFound: 'ERR_NOT_FOUND',
  AccessDenied: 'ERR_SINK_ACCESS',
  InvalidAccessKeyId: 'ERR_SINK_ACCESS',
  SignatureDoesNotMatch: 'ERR_SINK_ACCESS',
  ExpiredToken: 'ERR_SINK_ACCESS',
  InvalidToken: 'ERR_SINK_ACCESS',
  RequestTimeTooSkewed: 'ERR_SINK_ACCESS',
  PermanentRedirect: 'ERR_SINK_REGION',
  AuthorizationHeaderMalformed: 'ERR_SINK_REGION',
  IllegalLocationConstraintException: 'ERR_SINK_REGION',
  CredentialsProviderError: 'ERR_SINK_CREDENTIALS',
  TokenProviderError: 'ERR_SINK_CREDENTIALS',
  QuotaExceeded: 'ERR_SINK_FULL',
  // Someone swept the upload away, or its completion has happened already; or it lacks a part we thought it had.
  NoSuchUpload: 'ERR_UPLOAD_GONE',
  InvalidPart: 'ERR_UPLOAD_GONE',
  InvalidPartOrder: 'ERR_UPLOAD_GONE',
  // 409: another write got between; S3 wants a new upload with all parts.
  ConditionalRequestConflict: 'ERR_UPLOAD_GONE',
  // 409: somebody else is at the same upload or bucket at this moment.
  OperationAborted: 'ERR_SINK_UNAVAILABLE',
  RequestTimeout: 'ERR_SINK_UNAVAILABLE',
  // The bytes that arrived are not the bytes that were sent.
  BadDigest: 'ERR_SINK_UNAVAILABLE',
  XAmzContentChecksumMismatch: 'ERR_SINK_UNAVAILABLE',
  IncompleteBody: 'ERR_SINK_UNAVAILABLE',
};

function codeByStatus(status: number | undefined): SinkErrorCode {
  if (status === undefined || status === 408 || status === 409 || status === 429)
    return 'ERR_SINK_UNAVAILABLE';
  if (status === 301 || status === 307) return 'ERR_SINK_REGION';
  if (status === 403 || status === 401) return 'ERR_SINK_ACCESS';
  // A missing object has a name of its own; a 404 without one means that not even the bucket was found.
  if (status === 404) return 'ERR_SINK_BUCKET';
  if (status === 507) return 'ERR_SINK_FULL';
  return status >= 500 && status !== 501 ? 'ERR_SINK_UNAVAILABLE' : 'ERR_SINK_REFUSED';
}

function accessHint(name: string, operation: S3Operation): string {
  switch (name) {
    case 'InvalidAccessKeyId':
      return "The store does not know the access key id: check the sink's credentials and endpoint.";
    case 'SignatureDoesNotMatch':
      return "The secret access key does not belong to the access key id: check the sink's credentials.";
    case 'ExpiredToken':
    case 'InvalidToken':
      return 'The session token has expired or is not valid: renew the credentials.';
    case 'RequestTimeTooSkewed':
      return "This machine's clock is wrong: set it.";
    default:
      return `Probably missing for these credentials: ${permissions[operation]}. Also check the bucket's policy.`;
  }
}

function verdict(code: SinkErrorCode, cause: S3Cause, operation: S3Operation): Verdict {
  switch (code) {
    case 'ERR_SINK_BUCKET':
      return {
        code,
        hint: "The bucket does not exist: create it, or correct the sink's bucket or endpoint.",
      };
    case 'ERR_SINK_ACCESS':
      return { code, hint: accessHint(cause.name, operation) };
    case 'ERR_SINK_REGION':
      return { code, hint: "The bucket lies in another region: set the sink's region to the bucket's." };
    case 'ERR_SINK_CREDENTIALS':
      return {
        code,
        hint: 'No usable AWS credentials: set them for the sink or in the environment, or give the pod or machine a role.',
      };
    case 'ERR_SINK_FULL':
      return { code, retryable: true, hint: 'Free space in the store or raise its quota.' };
    case 'ERR_SINK_UNAVAILABLE':
      return {
        code,
        retryable: true,
        hint: "It is tried again; if that goes on, check the sink's endpoint, the network and the store's state.",
      };
    case 'ERR_UPLOAD_GONE':
      return {
        code,
        retryable: true,
        hint: 'The store no longer has the upload or a part of it: it begins anew.',
      };
    case 'ERR_NOT_FOUND':
      return { code, hint: 'Nothing lies under that key: it was removed, or never written.' };
    default:
      if (cause.status === 412)
        return {
          code,
          hint: 'Something lies under the key already, and the bucket lets nobody replace it: move it away, or mend the policy.',
        };
      return { code, hint: 'The store does not accept the request: check the settings of the sink.' };
  }
}

/**
 * Turns what the SDK threw into an error of ours, without the request and its signature.
 *
 * @param uri the bucket or object it was about
 */
export function s3Error(error: unknown, operation: S3Operation, uri: string): SinkError {
  if (error instanceof SinkError) return error;
  const cause = s3Cause(error);
  const code =
    cause.name === 'Error' && cause.message === 'Region is missing'
      ? 'ERR_SINK_REGION'
      : (words[cause.name] ?? codeByStatus(cause.status));
  const { hint, retryable = false } = verdict(code, cause, operation);
  const status = cause.status === undefined ? '' : ` (${cause.status})`;
  return new SinkError(code, `${operation} on ${uri} failed: ${cause.name}${status}.`, {
    cause,
    hint,
    retryable,
  });
}
