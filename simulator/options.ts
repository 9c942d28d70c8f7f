/** Who may call: one customer of the upstream, with its own jobs and files. */
export interface TenantCredentials {
  readonly name: string;
  readonly apiKey: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Without the `tenant\` prefix; the token endpoint wants `name\username`. */
  readonly username: string;
  readonly password: string;
}

/** What `filesFor` is told about a job. */
export interface JobView {
  readonly id: string;
  readonly tenant: string;
  readonly title: string;
  readonly source: string;
  readonly type: string;
  readonly fileSplitSize: string | undefined;
  /** How many runs the job had before this one. */
  readonly run: number;
}

/** The job's timeFrame; `from` and `to` are undefined for `all`. */
export interface JobWindow {
  readonly from: Date | undefined;
  readonly to: Date | undefined;
}

export interface FileSpec {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

/** The words shown for each state. Spelled inconsistently by default, as upstream. */
export interface StatusWords {
  readonly scheduled: string;
  readonly inProgress: string;
  readonly completed: string;
  readonly failed: string;
  readonly cancelled: string;
  readonly suspended: string;
}

/**
 * How answers are wrapped:
 * `envelope` `{"status":{"code":0},"data":…}` with ISO dates; `bare` without the envelope, dates in epoch ms;
 * `array` lists as plain arrays; `mixed` each answer another one, and field names that vary from item to item.
 */
export type Shape = 'envelope' | 'bare' | 'array' | 'mixed';

export interface SimulatorOptions {
  /** Decides ids, file sizes and every byte. */
  readonly seed?: string;
  /** Port of the API; 0 (default) takes a free one. */
  readonly port?: number;
  /** Port of the S3 origin; 0 (default) takes a free one. */
  readonly originPort?: number;
  /** What pre-signed URLs begin with, if somebody stands in front of the origin; default its own address. */
  readonly originAddress?: string;
  readonly tenants?: readonly TenantCredentials[];
  /** Where the simulated clock starts; default now. */
  readonly startAt?: Date | number;
  /** Simulated ms for each real ms; default 1, 0 stands still. */
  readonly speed?: number;
  /** Simulated ms one export takes; default 60,000. */
  readonly exportDuration?: number;
  /** Simulated ms after which the vendor deletes a file; default 30 days. */
  readonly fileLifetime?: number;
  /** `expires_in` of tokens, simulated seconds; default 43,199. */
  readonly tokenLifetime?: number;
  /** Lifetime of a pre-signed URL, simulated seconds; default 300. */
  readonly urlLifetime?: number;
  /** The largest page of a list, whatever the client asks for; default 100. */
  readonly maxPageSize?: number;
  readonly shape?: Shape;
  /** Numbers and booleans inside answers travel as strings. */
  readonly stringValues?: boolean;
  /** Ids are JSON numbers instead of strings. */
  readonly numericIds?: boolean;
  /** What the 202 of a created job carries: the job (default), only its id, or no body. */
  readonly createAnswer?: 'job' | 'id' | 'empty';
  /** Names that a list-delete does not know: passed over (default) or reported among those left. */
  readonly unknownInListDelete?: 'ignore' | 'report';
  readonly statusWords?: Partial<StatusWords>;
  /** Whether an encryption certificate is there from the start; default true. */
  readonly certificate?: boolean;
  /** The files one run of a job makes; by default one to three, decided by the seed. */
  readonly filesFor?: (job: JobView, window: JobWindow) => readonly FileSpec[];
  /** Smallest and largest file of the default `filesFor`, bytes; default 64 KiB to 4 MiB. */
  readonly fileSize?: readonly [number, number];
  /** What metadata and history say of a file's size; undefined leaves the size out. Default the truth. */
  readonly announcedSize?: (file: FileSpec) => number | undefined;
  /** A JSONL file that gets a line for every request before its answer, one after it, and one for every fact. */
  readonly logFile?: string;
}

/** The options with every default filled in, except where absence means something. */
export interface Settings {
  readonly seed: string;
  readonly tenants: readonly TenantCredentials[];
  readonly exportDuration: number;
  readonly fileLifetime: number;
  readonly tokenLifetime: number;
  readonly urlLifetime: number;
  readonly maxPageSize: number;
  readonly shape: Shape;
  readonly stringValues: boolean;
  readonly numericIds: boolean;
  readonly createAnswer: 'job' | 'id' | 'empty';
  readonly unknownInListDelete: 'ignore' | 'report';
  readonly statusWords: StatusWords;
  readonly certificate: boolean;
  readonly filesFor: ((job: JobView, window: JobWindow) => readonly FileSpec[]) | undefined;
  readonly fileSize: readonly [number, number];
  readonly announcedSize: (file: FileSpec) => number | undefined;
}

const DAY = 86_400_000;

/** Credentials that anyone can guess from the tenant's name. */
export function simulatedCredentials(name: string): TenantCredentials {
  return {
    name,
    apiKey: `${name}-api-key`,
    clientId: `${name}-client`,
    clientSecret: `${name}-client-secret`,
    username: 'export',
    password: `${name}-password`,
  };
}

export function resolveSettings(options: SimulatorOptions): Settings {
  return {
    seed: options.seed ?? 'udm',
    tenants: options.tenants ?? [simulatedCredentials('demo')],
    exportDuration: options.exportDuration ?? 60_000,
    fileLifetime: options.fileLifetime ?? 30 * DAY,
    tokenLifetime: options.tokenLifetime ?? 43_199,
    urlLifetime: options.urlLifetime ?? 300,
    maxPageSize: options.maxPageSize ?? 100,
    shape: options.shape ?? 'envelope',
    stringValues: options.stringValues ?? false,
    numericIds: options.numericIds ?? false,
    createAnswer: options.createAnswer ?? 'job',
    unknownInListDelete: options.unknownInListDelete ?? 'ignore',
    statusWords: {
      scheduled: 'Scheduled',
      inProgress: 'In Progress',
      completed: 'COMPLETED',
      failed: 'Failed',
      cancelled: 'CANCELLED',
      suspended: 'suspended',
      ...options.statusWords,
    },
    certificate: options.certificate ?? true,
    filesFor: options.filesFor,
    fileSize: options.fileSize ?? [64 * 1024, 4 * 1024 * 1024],
    announcedSize: options.announcedSize ?? ((file) => file.size),
  };
}
