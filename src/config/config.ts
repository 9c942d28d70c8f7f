/**
 * What a configuration is once it has been read, checked and completed with defaults.
 * Durations are milliseconds (`…Ms`), sizes bytes (`…Bytes`), paths absolute, dates UTC.
 */
export interface Config {
  readonly database: DatabaseConfig;
  readonly tenants: Readonly<Record<string, TenantConfig>>;
  readonly sinks: Readonly<Record<string, SinkConfig>>;
  readonly definitions: Readonly<Record<string, DefinitionConfig>>;
  readonly worker: WorkerConfig;
  readonly retention: RetentionConfig;
  readonly page: PageConfig;
  readonly metrics: MetricsConfig;
  readonly history: HistoryConfig;
  readonly notifications: Readonly<Record<string, WebhookConfig>>;
  readonly log: LogConfig;
}

export interface DatabaseConfig {
  /** `postgres://…`, with its password. Absent: the embedded Postgres in `dataDir`. */
  readonly url?: string;
  /** Absent: a folder of the machine or user, see `defaultEmbeddedPostgresDir`. */
  readonly dataDir?: string;
  readonly poolSize: number;
  /** Whether worker, run and backfill bring the schema up to date when they start. */
  readonly migrate: boolean;
}

/** How a tenant's access token is obtained. */
export type AuthConfig =
  | {
      readonly grant: 'password';
      readonly clientId: string;
      readonly clientSecret: string;
      readonly username: string;
      readonly password: string;
    }
  | { readonly grant: 'client_credentials'; readonly clientId: string; readonly clientSecret: string }
  | {
      readonly grant: 'refresh_token';
      readonly clientId: string;
      readonly clientSecret: string;
      readonly refreshToken: string;
    }
  | { readonly grant: 'token'; readonly token: string };

export interface TenantConfig {
  readonly name: string;
  /** Without a trailing slash and without `/udm`. */
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly auth: AuthConfig;
  readonly limits: {
    readonly requestsPerSecond: number;
    /** Upstream jobs of ours alive at once, across all workers. */
    readonly exports: number;
    /** Files in transfer at once, across all workers. */
    readonly transfers: number;
  };
  readonly requestTimeoutMs: number;
  /** `iso`, `iso-millis`, `epoch-ms` or a Luxon format; `formatUpstreamDate` renders it. */
  readonly dateFormat: string;
  /** Words for job states beyond those the program knows. */
  readonly statusWords: Readonly<Record<StatusWord, readonly string[]>>;
  readonly download: {
    /** Empty: any public host. */
    readonly allowedHosts: readonly string[];
    readonly allowPrivateAddresses: boolean;
  };
}

export type StatusWord = 'completed' | 'failed' | 'cancelled' | 'running' | 'waiting';

export interface S3SinkConfig {
  readonly name: string;
  readonly type: 's3';
  readonly bucket: string;
  /** Without slashes at either end; empty for none. */
  readonly prefix: string;
  readonly region?: string;
  readonly endpoint?: string;
  readonly forcePathStyle: boolean;
  /** Absent: the SDK's default credential chain. */
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
  readonly sse?:
    | { readonly type: 'AES256' }
    | { readonly type: 'aws:kms'; readonly kmsKeyId?: string; readonly bucketKey?: boolean };
  readonly storageClass?: string;
  readonly partSizeBytes: number;
  readonly concurrency: number;
  readonly expectedBucketOwner?: string;
  readonly verify: VerifyMode;
}

export interface FilesystemSinkConfig {
  readonly name: string;
  readonly type: 'filesystem';
  readonly directory: string;
  readonly verify: VerifyMode;
}

export type SinkConfig = S3SinkConfig | FilesystemSinkConfig;

/** `head` trusts what the store says of the object; `read` reads the whole object back. */
export type VerifyMode = 'head' | 'read';

/** What is deleted upstream once everything of a run is verified. */
export type DeletePolicy = 'files' | 'files-and-history' | 'files-and-job' | 'nothing';

/** Which jobs of people a definition adopts: by title, and by the definition's source and type. */
export interface AdoptConfig {
  readonly title: string;
  readonly match: 'exact' | 'contains' | 'regex';
  /** How often the upstream's history is looked at. */
  readonly everyMs: number;
  /** Entries made before are left alone. Absent: 30 days before the first look. */
  readonly since?: Date;
  /** Most entries under way at once. */
  readonly catchUp: number;
}

export interface DefinitionConfig {
  readonly name: string;
  /** A key of `Config.tenants`. */
  readonly tenant: string;
  /** A key of `Config.sinks`. */
  readonly sink: string;
  readonly source: string;
  readonly type: string;
  /** Travels as `jobParams.type`. */
  readonly subType?: string;
  readonly media?: readonly string[];
  readonly attachments: boolean;
  /** Digits; the upstream wants it as a string. */
  readonly fileSplitSize?: string;
  /** Absent: only `run` and `backfill` plan this definition. */
  readonly schedule?: { readonly cron: string; readonly timeZone: string };
  /** Present: it makes no jobs and has no windows, and collects what people's jobs made. */
  readonly adopt?: AdoptConfig;
  readonly windows: {
    readonly lengthMs: number;
    /** How long after its end a window is left alone, for late data. */
    readonly lagMs: number;
    /** Where history starts. */
    readonly start?: Date;
    /** Most windows planned and not yet done at once. */
    readonly catchUp: number;
  };
  /** Text for `compileKeyTemplate`; already checked. */
  readonly key: string;
  readonly delete: DeletePolicy;
  readonly maxExportDurationMs: number;
  readonly retry: { readonly attempts: number; readonly minDelayMs: number; readonly maxDelayMs: number };
}

export interface WorkerConfig {
  /** Exports of each tenant that this process follows at once. */
  readonly exports: number;
  /** Large files of each tenant that this process transfers at once, and as many batches of small ones. */
  readonly transfers: number;
  /**
   * Bytes that all transfers of this process may hold in memory together; the tenants share them out evenly. Absent: by
   * what the machine has.
   */
  readonly memoryBytes?: number;
  /** Bytes per second that all transfers of this process may read. Absent: no limit. */
  readonly bandwidthBytes?: number;
  readonly shutdownGraceMs: number;
  readonly poll: { readonly minMs: number; readonly maxMs: number };
  /** How long after a create of unknown outcome the job is looked for before another is made. */
  readonly createSettleMs: number;
  /** How long the list of files must have stood still before it counts as whole. */
  readonly collectSettleMs: number;
  /** How old an unfinished upload must be to count as leaked, when Postgres does not know it; 0: none ever does. */
  readonly sweepAfterMs: number;
}

/** How long the vendor keeps a file, and how long before its end one that is not safe yet is spoken of. */
export interface RetentionConfig {
  readonly keepForMs: number;
  readonly warnAtMs: number;
  readonly criticalAtMs: number;
}

export interface PageConfig {
  /** Whether `worker` serves the status page; `run` and `backfill` do so for --page-port alone. */
  readonly enabled: boolean;
  /** 0: any free one. */
  readonly port: number;
  readonly host: string;
  /** Names by which browsers may reach it, besides localhost and addresses; `*.example.com` for all below. */
  readonly allowedHosts: readonly string[];
  /** Whoever knows it may retry and cancel runs. Absent: the page is read-only. */
  readonly token?: string;
}

export interface MetricsConfig {
  /** TCP port of `worker`; 0: it serves nothing. */
  readonly port: number;
  readonly host: string;
}

export interface HistoryConfig {
  /** How long after its end a run's details stay in Postgres. Absent: for ever, or until `udm-sync prune`. */
  readonly keepMs?: number;
}

/** What a webhook may be told of. */
export const noticeKinds = [
  'run-failed',
  'gap',
  'expiry-warning',
  'expiry-critical',
  'file-dead',
  'file-lost',
  'recovered',
] as const;
export type NoticeKind = (typeof noticeKinds)[number];

export interface WebhookConfig {
  readonly name: string;
  /** Secret as a whole: whoever knows it may post. */
  readonly url: string;
  readonly format: 'json' | 'slack';
  readonly on: readonly NoticeKind[];
  /** One line of a message; `renderTemplate` fills it in. Absent: the usual words. */
  readonly template?: string;
  /** How long what happens is gathered before it is told. */
  readonly groupForMs: number;
  /** Shortest time between two messages. */
  readonly minIntervalMs: number;
  /** Deadline of one request. */
  readonly timeoutMs: number;
  /** What could not be told for so long is given up. */
  readonly giveUpAfterMs: number;
  /** How much later than it should be a definition's next success may come. */
  readonly gapGraceMs: number;
  /** Empty: all. */
  readonly tenants: readonly string[];
  /** Empty: all. */
  readonly definitions: readonly string[];
}

export interface LogConfig {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  readonly format: 'auto' | 'json' | 'pretty';
}
