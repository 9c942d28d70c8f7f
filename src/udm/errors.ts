import { UdmSyncError } from '../errors.ts';
import type { ErrorDetails } from '../errors.ts';

/** What a `UdmError` knows besides its code and message. */
export interface UdmErrorDetails extends ErrorDetails {
  /** HTTP status of the answer, if there was one. */
  readonly status?: number;
  /** The first 200 characters of the answer, with everything secret blotted out. */
  readonly excerpt?: string;
}

/**
 * A call to the upstream that did not do what was asked.
 *
 * `endpoint` is the operation as the reference writes it (`GET /v10/export/jobs/{id}`), never the real URL, so
 * that it can be a metric label and holds no secret.
 */
export class UdmError extends UdmSyncError {
  readonly endpoint: string;
  readonly status: number | undefined;
  readonly excerpt: string | undefined;

  constructor(code: string, endpoint: string, message: string, details: UdmErrorDetails = {}) {
    super(code, `${endpoint}: ${message}`, details);
    this.endpoint = endpoint;
    this.status = details.status;
    this.excerpt = details.excerpt;
  }
}
