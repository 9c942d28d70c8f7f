import { UdmSyncError } from '../errors.ts';
import type { ErrorDetails } from '../errors.ts';

/** The codes a sink raises; docs/errors.md tells the operator about each. */
export type SinkErrorCode =
  | 'ERR_SINK_BUCKET'
  | 'ERR_SINK_ACCESS'
  | 'ERR_SINK_REGION'
  | 'ERR_SINK_CREDENTIALS'
  | 'ERR_SINK_UNAVAILABLE'
  | 'ERR_SINK_REFUSED'
  | 'ERR_SINK_FULL'
  | 'ERR_UPLOAD_GONE'
  | 'ERR_NOT_FOUND'
  | 'ERR_KEY'
  | 'ERR_BODY_LENGTH'
  | 'ERR_VERIFY_MISSING'
  | 'ERR_VERIFY_MISMATCH';

/** Anything a sink, or the check of what it stored, raises on purpose. Never carries a credential. */
export class SinkError extends UdmSyncError {
  declare readonly code: SinkErrorCode;

  constructor(code: SinkErrorCode, message: string, options: ErrorDetails = {}) {
    super(code, message, options);
  }
}
