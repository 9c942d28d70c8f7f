import { closeSync, openSync, writeSync } from 'node:fs';

/** One request as it was seen and answered. Holds no credential: names of headers only, signatures masked. */
export interface RequestRecord {
  readonly seq: number;
  /** Simulated time, ISO. */
  readonly at: string;
  /** Real time, ISO. */
  readonly wallTime: string;
  readonly listener: 'api' | 's3';
  readonly method: string;
  /** Decoded path. */
  readonly path: string;
  /** Path template of the reference, or the decoded path when none fits. */
  readonly endpoint: string;
  /** Decoded query; signatures and credentials masked. */
  readonly query: Readonly<Record<string, string>>;
  readonly headers: readonly string[];
  readonly hasAuthorization: boolean;
  readonly hasApiKey: boolean;
  /** The Range header. */
  readonly range: string | undefined;
  /** Kinds of the faults that hit it. */
  readonly faults: readonly string[];
  tenant: string | undefined;
  /** Grant of a token request. */
  grant: string | undefined;
  /** JSON body of a job request. */
  body: unknown;
  /** 0 when the connection was cut before an answer. */
  status: number;
  /** Ids that were found, created or changed. */
  readonly jobs: string[];
  readonly histories: string[];
  /** Names of files listed, located, served or deleted. */
  readonly files: string[];
  /** Names of files this request deleted. */
  readonly deletedFiles: string[];
  /** Bytes of the body sent; known once it is over. */
  bytesSent: number;
  outcome: 'pending' | 'answered' | 'cut' | 'client-gone';
}

/** What happened to the tenant's jobs and files. Times are simulated, ISO. */
export type Fact =
  | {
      readonly fact: 'job-made';
      readonly tenant: string;
      readonly job: string;
      readonly title: string;
      readonly at: string;
    }
  /** A run of it is over, which made a history entry. */
  | {
      readonly fact: 'job-ended';
      readonly job: string;
      readonly history: string;
      readonly state: string;
      readonly at: string;
    }
  | {
      readonly fact: 'job-deleted';
      readonly job: string;
      readonly by: 'client' | 'vendor';
      readonly at: string;
    }
  /** A history entry, and with it whatever files it had. */
  | { readonly fact: 'history-deleted'; readonly job: string; readonly history: string; readonly at: string }
  /** With `seed`, all that decides the bytes. A file that changes is made again, in a new generation. */
  | {
      readonly fact: 'file-made';
      readonly seed: string;
      readonly tenant: string;
      readonly name: string;
      readonly generation: number;
      /** Bytes. */
      readonly size: number;
      readonly job: string | undefined;
      readonly history: string | undefined;
      readonly at: string;
    }
  | {
      readonly fact: 'file-deleted';
      readonly tenant: string;
      readonly name: string;
      readonly generation: number;
      readonly by: 'client' | 'vendor';
      readonly at: string;
    };

/**
 * Keeps every request, and appends it to a file when asked to. The line of a request is written, unbuffered,
 * before its answer leaves, so whatever a killed client saw answered is in the file.
 */
export class RequestLog {
  readonly records: RequestRecord[] = [];
  readonly #file: number | undefined;

  constructor(path: string | undefined) {
    this.#file = path === undefined ? undefined : openSync(path, 'a');
  }

  open(
    start: Omit<
      RequestRecord,
      | 'seq'
      | 'wallTime'
      | 'tenant'
      | 'grant'
      | 'body'
      | 'status'
      | 'jobs'
      | 'histories'
      | 'files'
      | 'deletedFiles'
      | 'bytesSent'
      | 'outcome'
    >,
  ): RequestRecord {
    const record: RequestRecord = {
      seq: this.records.length + 1,
      wallTime: new Date().toISOString(),
      ...start,
      tenant: undefined,
      grant: undefined,
      body: undefined,
      status: 0,
      jobs: [],
      histories: [],
      files: [],
      deletedFiles: [],
      bytesSent: 0,
      outcome: 'pending',
    };
    this.records.push(record);
    return record;
  }

  /** The answer is decided and about to be sent. */
  answering(record: RequestRecord): void {
    this.#append({ event: 'request', ...record, bytesSent: undefined, outcome: undefined });
  }

  /** The answer is over, one way or the other. */
  done(record: RequestRecord): void {
    this.#append({
      event: 'done',
      seq: record.seq,
      status: record.status,
      bytesSent: record.bytesSent,
      outcome: record.outcome,
    });
  }

  /** Something that no request says by itself: a job or a file came to be, ended or went. */
  note(fact: Fact): void {
    this.#append({ event: 'fact', ...fact });
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }

  #append(line: object): void {
    if (this.#file !== undefined) writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }
}

const SECRET_PARAMETERS = new Set([
  'x-amz-signature',
  'x-amz-credential',
  'x-amz-security-token',
  'x-api-key',
]);

/** The query as a record, credentials masked. */
export function maskedQuery(query: URLSearchParams): Record<string, string> {
  return Object.fromEntries(
    [...query].map(([name, value]) => [name, SECRET_PARAMETERS.has(name.toLowerCase()) ? '***' : value]),
  );
}
