/** Shapes of the UDM v10 API as this program uses them, after parsing. Ids are opaque strings. */

export interface ExportJob {
  readonly id: string;
  readonly title?: string;
  readonly description?: string;
  readonly source?: string;
  readonly type?: string;
  readonly status?: string;
  readonly suspended?: boolean;
  readonly createdDate?: Date;
}

/** Body of POST and PUT /v10/export/jobs, as the reference gives it: numbers travel as strings. */
export interface ExportJobRequest {
  readonly source: string;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly timeFrame: { readonly all: boolean; readonly dateFrom?: string; readonly dateTo?: string };
  readonly schedulerParam: {
    readonly immediately: boolean;
    readonly cron?: string;
    readonly runs?: string;
    readonly startDate?: string;
  };
  readonly jobParams: {
    readonly fileSplitSize?: string;
    readonly type?: string;
    readonly media?: readonly string[];
    readonly exportAttachments?: boolean;
  };
  readonly suspended?: boolean;
}

export interface HistoryEntry {
  readonly id: string;
  readonly jobId?: string;
  readonly title?: string;
  readonly source?: string;
  readonly type?: string;
  /** The upstream's own word; compare it with src/udm/status.ts only. */
  readonly status?: string;
  /** 0 to 100. */
  readonly progress?: number;
  readonly fileName?: string;
  /** Bytes. */
  readonly fileSize?: number;
  readonly createdDate?: Date;
  /** Why it failed, in the upstream's words, where it says so. */
  readonly reason?: string;
}

export interface FileMetadata {
  readonly name: string;
  /** Bytes. */
  readonly size?: number;
  readonly createdDate?: Date;
  readonly historyId?: string;
  readonly jobId?: string;
  readonly jobTitle?: string;
  readonly type?: string;
  readonly source?: string;
}

export interface Certificate {
  readonly ccid?: string;
  readonly name?: string;
  readonly size?: number;
  readonly lastModified?: Date;
}

/** A name or a name with a description, from /v10/data/*. */
export interface DataWord {
  readonly name: string;
  readonly description?: string;
}

/** What a list-delete achieved. `remaining` could not be deleted now; everything else is gone. */
export interface DeleteResult {
  readonly deleted: readonly string[];
  readonly remaining: readonly string[];
}

export interface JobFilter {
  /** The upstream matches by *contains*; compare again on your side. */
  readonly title?: string;
  readonly source?: string;
  readonly type?: string;
  readonly scheduleType?: string;
  readonly suspend?: boolean;
}

export interface HistoryFilter {
  readonly jobId?: string;
  readonly title?: string;
  readonly status?: string;
  readonly fileName?: string;
  readonly source?: string;
  readonly type?: string;
}

export interface FileFilter {
  readonly historyId?: string;
  readonly jobTitle?: string;
  readonly name?: string;
  readonly source?: string;
  readonly type?: string;
  readonly startDate?: string;
  readonly endDate?: string;
}

/** A pre-signed URL. The query string is a credential: `toString` and JSON show the host and path only. */
export interface PresignedUrl {
  /** The whole URL, with its signature. Never log it. */
  readonly secret: string;
  /** Scheme, host and path, safe to show. */
  toString(): string;
}

export interface DownloadOptions {
  /** First byte wanted; sends `Range: bytes=start-[end]`. */
  readonly start?: number;
  /** Last byte wanted, inclusive. */
  readonly end?: number;
  /** Strong ETag the range must belong to; sent as If-Match. */
  readonly ifMatch?: string;
  readonly signal?: AbortSignal;
}

export interface Download {
  /** 200 for the whole, 206 for a range. */
  readonly status: 200 | 206;
  /** Bytes this answer will carry, if it says so. */
  readonly length?: number;
  /** Bytes of the whole object, if known (Content-Length of a 200, or the total of Content-Range). */
  readonly total?: number;
  /** With its quotes, as received; absent if weak. */
  readonly etag?: string;
  readonly lastModified?: Date;
  /** MD5 of the whole object in hex, where the origin's ETag is one. */
  readonly md5?: string;
  /**
   * Throws ERR_DOWNLOAD_TRUNCATED if the connection ends before `length` bytes, ERR_DOWNLOAD_BROKEN if it breaks,
   * ERR_DOWNLOAD_STALLED if nothing comes for the idle time; all retryable. Without `length` and without chunks, an
   * early end cannot be told from the end: compare the bytes with what file-metadatas says.
   */
  readonly body: AsyncIterable<Uint8Array>;
  /**
   * Fills the target with the next bytes, straight from the socket; instead of `body`, and with the same errors.
   *
   * @param onBytes told of bytes as they arrive, also of those before a break
   */
  fill(target: Uint8Array, onBytes?: (bytes: number) => void): Promise<void>;
  /** Stops the transfer and frees the socket. */
  destroy(): void;
}

/**
 * The upstream: every operation of the UDM v10 reference.
 *
 * Lists are pages fetched as you iterate. `get*` answers undefined on 404. Deletes treat 404 as done.
 * Errors are `UdmError` (src/udm/errors.ts) with a code, the endpoint and no secret; when the caller's signal aborts,
 * its reason is thrown. Every call has a deadline, retries what is safe to repeat, and may throw ERR_UDM_UNAVAILABLE,
 * ERR_UDM_TIMEOUT, ERR_UDM_API_KEY, ERR_UDM_CLIENT_CREDENTIALS, ERR_UDM_USER_CREDENTIALS, ERR_UDM_UNAUTHORIZED,
 * ERR_UDM_FORBIDDEN, ERR_UDM_BAD_REQUEST, ERR_UDM_NOT_FOUND, ERR_UDM_ANSWER, ERR_UDM_ANSWER_TOO_LARGE; lists also
 * ERR_UDM_PAGING, and what takes a name ERR_UDM_NAME for one that no URL can carry.
 */
export interface UdmClient {
  /** GET /v10/cipher; undefined when no certificate was uploaded. */
  getCipher(signal?: AbortSignal): Promise<Certificate | undefined>;
  /** POST /v10/cipher/{certificatefilename}, multipart form field `file`. */
  uploadCipher(fileName: string, content: Uint8Array, signal?: AbortSignal): Promise<void>;

  /** GET /v10/data/attributes */
  listAttributes(entities?: string, signal?: AbortSignal): Promise<DataWord[]>;
  /** GET /v10/data/job-statuses */
  listJobStatuses(signal?: AbortSignal): Promise<DataWord[]>;
  /** GET /v10/data/sources */
  listSources(signal?: AbortSignal): Promise<DataWord[]>;
  /** GET /v10/data/sub-types */
  listSubTypes(filter?: { dataType?: string; source?: string }, signal?: AbortSignal): Promise<DataWord[]>;
  /** GET /v10/data/types */
  listTypes(source?: string, signal?: AbortSignal): Promise<DataWord[]>;

  /** GET /v10/export/history, all pages. */
  listHistory(filter?: HistoryFilter, signal?: AbortSignal): AsyncIterable<HistoryEntry>;
  /** GET /v10/export/history/{id} */
  getHistory(id: string, signal?: AbortSignal): Promise<HistoryEntry | undefined>;
  /** GET /v10/export/history/{id}/progress: 0 to 100. */
  getHistoryProgress(id: string, signal?: AbortSignal): Promise<number | undefined>;
  /** DELETE /v10/export/history/{id} */
  deleteHistory(id: string, signal?: AbortSignal): Promise<void>;
  /** DELETE /v10/export/history?jobIDs= : any number of ids, sent in lists of at most 100. */
  deleteHistoryList(jobIds: readonly string[], signal?: AbortSignal): Promise<DeleteResult>;

  /** GET /v10/export/jobs, all pages. */
  listJobs(filter?: JobFilter, signal?: AbortSignal): AsyncIterable<ExportJob>;
  /**
   * POST /v10/export/jobs. Never retried here: an unknown outcome (timeout, reset, 5xx) is
   * `ERR_UDM_UNKNOWN_OUTCOME`, and the caller looks for the job by its title before trying again.
   * The id is undefined when the 202 did not carry one.
   */
  createJob(
    body: ExportJobRequest,
    signal?: AbortSignal,
  ): Promise<{ readonly id: string | undefined; readonly job: ExportJob | undefined }>;
  /** GET /v10/export/jobs/{id} */
  getJob(id: string, signal?: AbortSignal): Promise<ExportJob | undefined>;
  /** PUT /v10/export/jobs/{id} */
  updateJob(id: string, body: ExportJobRequest, signal?: AbortSignal): Promise<void>;
  /** DELETE /v10/export/jobs/{id} */
  deleteJob(id: string, signal?: AbortSignal): Promise<void>;
  /** DELETE /v10/export/jobs?jobIDs= : any number of ids, sent in lists of at most 100. */
  deleteJobList(ids: readonly string[], signal?: AbortSignal): Promise<DeleteResult>;
  /** POST /v10/export/jobs/cancel/{id}; false when the upstream no longer knows the job. */
  cancelJob(id: string, signal?: AbortSignal): Promise<boolean>;
  /** POST /v10/export/jobs/suspend/{id} */
  suspendJob(id: string, signal?: AbortSignal): Promise<boolean>;
  /** POST /v10/export/jobs/resume/{id} */
  resumeJob(id: string, signal?: AbortSignal): Promise<boolean>;

  /** GET /v10/file-metadatas, all pages. */
  listFileMetadatas(filter?: FileFilter, signal?: AbortSignal): AsyncIterable<FileMetadata>;

  /**
   * GET /v10/files?filename=a,b: any number of names, sent in lists of at most 100. Names that no list can hold, or
   * that no answer speaks of, are located one by one, so every name ends in `urls` or in `missing`.
   */
  presignFiles(
    names: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ readonly urls: ReadonlyMap<string, PresignedUrl>; readonly missing: readonly string[] }>;
  /** GET /v10/files/{filename}: the Location of the 303; undefined on 404. */
  locateFile(name: string, signal?: AbortSignal): Promise<PresignedUrl | undefined>;
  /**
   * GET on the pre-signed URL, without our credentials. `ERR_PRESIGNED_EXPIRED` when S3 says the URL is too old,
   * `ERR_PRESIGNED_CHANGED` on 412, `ERR_PRESIGNED_REFUSED` when the address is not allowed,
   * `ERR_PRESIGNED_NOT_FOUND` on 404, `ERR_PRESIGNED_DENIED` on other 4xx, `ERR_DOWNLOAD_RANGE` on 416 or a wrong
   * range, `ERR_DOWNLOAD_ENCODED` when the body is compressed in transit, `ERR_DOWNLOAD_UNREACHABLE` when there is no
   * answer or a 5xx. A server may answer 200 with the whole to a range: look at `status`.
   */
  download(url: PresignedUrl, options?: DownloadOptions): Promise<Download>;
  /** DELETE /v10/files/{filename} */
  deleteFile(name: string, signal?: AbortSignal): Promise<void>;
  /** DELETE /v10/files?filename=a,b: any number of names, sent in lists of at most 100. */
  deleteFiles(names: readonly string[], signal?: AbortSignal): Promise<DeleteResult>;

  /** GET /v10/resources/labels */
  getLabels(signal?: AbortSignal): Promise<unknown>;
  /** GET /v10/version */
  getVersion(signal?: AbortSignal): Promise<string | undefined>;

  /** Asks the Authentication API for a token now; used by `doctor`. */
  checkToken(signal?: AbortSignal): Promise<void>;

  /** Frees sockets. */
  close(): void;
}
