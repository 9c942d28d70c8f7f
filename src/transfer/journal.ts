import type { SentPart, Upload } from '../sinks/sink.ts';

/** What is remembered of an upload in parts. */
export interface UploadRecord {
  readonly upload: Upload;
  /** Bytes of every part but the last. */
  readonly partSize: number;
  /** Bytes of the whole file. */
  readonly length: number;
  /** The source's ETag: parts read under another one do not belong together. */
  readonly sourceEtag: string;
}

/** Where an upload's progress outlives the process: Postgres, in the worker. */
export interface Journal {
  /** The file's unfinished upload and the parts that were acknowledged, if there is one. */
  load(): Promise<(UploadRecord & { readonly parts: readonly SentPart[] }) | undefined>;
  /** Before the first part is sent. */
  begun(record: UploadRecord): Promise<void>;
  /** After a part was acknowledged. */
  sent(part: SentPart): Promise<void>;
  /** The upload is complete, gone, or given up. */
  forget(reason: string): Promise<void>;
}
