/** What a sink needs to know about the bytes it is given. */
export interface PutOptions {
  /**
   * Length in bytes, when the source announced it. A sink uses it to size parts and refuses a body that turns
   * out shorter or longer with `ERR_BODY_LENGTH`.
   */
  readonly length?: number;
  /** Where the object came from; kept as S3 user metadata. Keys are lower-case ASCII, values any text. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly contentType?: string;
  /** Aborts the put; nothing becomes visible under the key. */
  readonly signal?: AbortSignal;
  /** Called after bytes have been handed to the store, with the running total in bytes. */
  readonly onProgress?: (bytes: number) => void;
}

/** What `put` knows once the store has accepted the whole body. */
export interface PutResult {
  /** Bytes read from the body and accepted by the store. */
  readonly bytes: number;
  /** CRC-32 (zlib) of those bytes, unsigned. */
  readonly crc32: number;
  /** The store's entity tag without quotes, where it has one. */
  readonly etag?: string;
  /** Parts the body was sent in; 1 for a single PUT. */
  readonly parts: number;
}

/** What the store says of an object when asked afterwards. */
export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Full-object CRC-32 as the *server* keeps it; absent where the server keeps none. */
  readonly crc32?: number;
  readonly etag?: string;
  readonly lastModified?: Date;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What `sweep` found and removed. */
export interface SweepResult {
  /** Unfinished uploads (S3: multipart uploads; filesystem: temporary files) that were aborted. */
  readonly aborted: number;
  /** Bytes those held, as far as the store could tell. */
  readonly bytes: number;
}

/** What somebody goes on with, so that a sweep leaves it alone. */
export interface StillNeeded {
  /** Ids of unfinished uploads, as the store gave them. */
  readonly uploads: ReadonlySet<string>;
  /** Keys, relative to whichever sink, that are being written now. */
  readonly keys: readonly string[];
}

export interface SweepOptions {
  /**
   * Asked after unfinished uploads were listed and before one of them is aborted: whatever was noted by then is known.
   * Without it nothing is needed.
   */
  readonly needed?: () => Promise<StillNeeded>;
  /** Counts what would go, and removes nothing. */
  readonly dryRun?: boolean;
  /** Aborts the sweep between two uploads. */
  readonly signal?: AbortSignal;
}

/** An upload in parts that outlives the process that began it. Plain data: it is kept in Postgres as JSON. */
export interface Upload {
  readonly key: string;
  /** The store's own id of it. */
  readonly id: string;
  /** Tells this upload's object from any other under the key, when the answer to its completion was lost. */
  readonly marker: string;
  /** Whether the store keeps checksums of parts, and one of the whole object. */
  readonly keeps: { readonly parts: boolean; readonly whole: boolean };
}

/** A part that the store has acknowledged. */
export interface SentPart {
  /** From 1. */
  readonly number: number;
  /** Bytes. */
  readonly size: number;
  readonly etag: string;
  /** CRC-32 of its bytes, unsigned. */
  readonly crc32: number;
}

/** Uploads in parts that can be continued by another process, in any order, several parts at a time. */
export interface ResumableUploads {
  /** Most parts of one object that are sent at a time; a `put` in parts sends as many. */
  readonly parallel: number;
  /**
   * Bytes of every part but the last, for an object of so many bytes. An object of no more than this is one `put`.
   *
   * @param most bytes that a part should not exceed, as far as the store's limit on parts allows
   */
  partSize(length: number, most?: number): number;
  /** Begins an upload; nothing is visible under the key until `complete`. S3: CreateMultipartUpload. */
  begin(key: string, options?: PutOptions): Promise<Upload>;
  /** Sends one part. The bytes may be reused once it settles. S3: UploadPart. */
  send(
    upload: Upload,
    number: number,
    bytes: Uint8Array,
    crc32: number,
    signal?: AbortSignal,
  ): Promise<SentPart>;
  /**
   * The parts the store has, by number, with their sizes; `unknown` when it no longer knows the upload, `unlisted`
   * when it cannot say. S3: ListParts.
   */
  list(upload: Upload, signal?: AbortSignal): Promise<ReadonlyMap<number, number> | 'unknown' | 'unlisted'>;
  /**
   * Makes the object visible, from exactly these parts. A lost answer is resolved by looking at the object.
   * S3: CompleteMultipartUpload with the whole object's CRC-32 where the store keeps one.
   *
   * @throws SinkError `ERR_UPLOAD_GONE` when the store no longer knows the upload or a part of it: begin anew
   */
  complete(
    upload: Upload,
    parts: readonly SentPart[],
    whole: { bytes: number; crc32: number },
  ): Promise<PutResult>;
  /** Removes the parts. Unknown uploads are a success; what cannot be removed now is left to `sweep`. */
  abort(upload: Upload): Promise<void>;
}

/**
 * A place that files are copied to. One narrow contract; every sink passes test/sinks/conformance.ts.
 *
 * Keys are `/`-separated, never start with `/`, hold no empty, `.` or `..` segment and no control character
 * (`ERR_KEY` otherwise), and are relative to the sink's own prefix or directory.
 */
export interface Sink {
  readonly name: string;
  /** A URI for people and manifests, without credentials: `s3://bucket/prefix` or `file:///dir`. */
  readonly uri: string;

  /**
   * Streams the body into the store under `key`, replacing what was there. Bytes in memory may be used again once it
   * settles.
   *
   * - Atomic: the key shows the old object or the whole new one, never a part of it. When the body throws, ends
   *   before or goes beyond `length`, or the signal aborts, nothing becomes visible and what was begun is removed.
   * - Bounded: memory does not grow with the body; the body is pulled only as fast as the store accepts.
   * - Durable: once it resolves, the store has acknowledged the bytes (S3: 200; filesystem: fsync of file and folder).
   */
  put(key: string, body: AsyncIterable<Uint8Array> | Uint8Array, options?: PutOptions): Promise<PutResult>;

  /** What lies under `key` now, or undefined if nothing does. S3: HeadObject with ChecksumMode. */
  stat(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined>;

  /** The bytes under `key`, for checks. Throws `ERR_NOT_FOUND` if nothing is there. S3: GetObject. */
  read(key: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>>;

  /** Removes one object; nothing there is a success. Used by `doctor` for its own probe only. */
  remove(key: string): Promise<void>;

  /**
   * Aborts what dead writers left unfinished under `prefix` (a folder with its slash, or '' for all), that began
   * before `before` (UTC) and that nobody needs. S3: ListMultipartUploads, ListParts, AbortMultipartUpload.
   */
  sweep(prefix: string, before: Date, options?: SweepOptions): Promise<SweepResult>;

  /** Absent on sinks whose writes are too quick to be worth continuing. */
  readonly uploads?: ResumableUploads;

  /** Closes sockets. The sink is not used afterwards. */
  close(): void;
}
