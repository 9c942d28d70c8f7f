import { z } from 'zod';
import { noticeKinds } from './config.ts';
import type { StatusWord } from './config.ts';
import { cronProblem, timeZoneProblem } from './cron.ts';
import { dateFormatProblem, namedDateFormats } from './date-format.ts';
import * as is from './fields.ts';
import { adoptedKeyTemplate, compileKeyTemplate, defaultKeyTemplate } from './key-template.ts';
import { noticeTemplateProblem } from './notice-template.ts';
import { titlePatternProblem } from './title-match.ts';
import { UsageError } from '../errors.ts';
import { isMapping } from './tree.ts';

/** Names of tenants, sinks and definitions: they become part of keys and titles. */
export const namePattern = /^[a-z0-9][a-z0-9._-]{0,62}$/;

const missing = (issue: { input?: unknown }, otherwise: string) =>
  issue.input === undefined ? 'is required' : otherwise;

/** A mapping with fixed settings; any other is a mistake. */
function section<T extends z.core.$ZodLooseShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'invalid_type' ? missing(issue, 'must be a mapping of settings') : undefined,
  });
}

/** A choice of mappings told apart by one setting. */
function oneOf<T extends readonly [z.core.$ZodTypeDiscriminable, ...z.core.$ZodTypeDiscriminable[]]>(
  discriminator: string,
  kinds: string,
  options: T,
) {
  return z.discriminatedUnion(discriminator, options, {
    error: (issue) =>
      isMapping(issue.input) ? `must be one of ${kinds}` : missing(issue, 'must be a mapping of settings'),
  });
}

/** Entries by name. The names are checked in cross-checks.ts, so that a wrong one does not hide its entry. */
function entries<T extends z.ZodType<object>>(what: string, entry: T, minimum: 0 | 1 = 1) {
  const name = z.string().meta({ pattern: namePattern.source });
  return z
    .record(name, entry, { error: (issue) => missing(issue, `must be a mapping of names to ${what}`) })
    .transform((found, context) => {
      if (Object.keys(found).length < minimum) context.addIssue(`must hold at least one of ${what}`);
      return Object.fromEntries(Object.entries(found).map(([key, value]) => [key, { name: key, ...value }]));
    })
    .meta({ minProperties: minimum });
}

const database = section({
  url: is
    .postgresUrl()
    .exactOptional()
    .describe('Postgres connection string. Left out: an embedded Postgres. DATABASE_URL overrides it.'),
  dataDir: is
    .path('/var/lib/udm-sync/postgres')
    .exactOptional()
    .describe('Where the embedded Postgres keeps its data. Left out: a folder of the machine or user.'),
  poolSize: is.number(2, 500).prefault(10).describe('Most connections of one process.'),
  migrate: is
    .flag()
    .prefault(true)
    .describe('Bring the schema up to date when worker, run or backfill start.'),
});

const client = {
  clientId: is.text('udm-client').describe('OAuth client id.'),
  clientSecret: is.secret('clientSecret', "the OAuth client's secret").describe('OAuth client secret.'),
};

const auth = oneOf('grant', 'password, client_credentials, refresh_token, token', [
  section({
    grant: z.literal('password'),
    ...client,
    username: is
      .text(String.raw`'tenant\user'`)
      .describe(String.raw`User, as 'tenant\user' in single quotes.`),
    password: is.secret('password', "the user's password").describe('Password of the user.'),
  }),
  section({ grant: z.literal('client_credentials'), ...client }),
  section({
    grant: z.literal('refresh_token'),
    ...client,
    refreshToken: is
      .secret('refreshToken', 'a refresh token')
      .describe('The first refresh token; later ones are kept.'),
  }),
  section({
    grant: z.literal('token'),
    token: is.secret('token', 'an access token').describe('A fixed access token.'),
  }),
]);

const someWords = (what: StatusWord) =>
  is.list(0, 'a list of words').prefault([]).describe(`Further words for jobs that are ${what}.`);

const dateFormat = is
  .checked({ example: 'iso' }, (format) =>
    namedDateFormats.has(format) ? undefined : dateFormatProblem(format),
  )
  .prefault('iso')
  .describe('How dates are sent: iso, iso-millis, epoch-ms, or a Luxon format (UTC).');

const tenant = section({
  baseUrl: is.upstreamUrl().describe('Address of the API gateway, without /udm.'),
  apiKey: is.secret('apiKey', 'the API key').describe('Sent as x-api-key.'),
  auth: auth.describe('How access tokens are obtained.'),
  limits: section({
    requestsPerSecond: is
      .number(0.01, 1000, false)
      .prefault(5)
      .describe('API requests per second, per process.'),
    exports: is.number(1, 1000).prefault(3).describe('Upstream jobs alive at once, across all workers.'),
    transfers: is.number(1, 1000).prefault(16).describe('Files in transfer at once, across all workers.'),
  }).prefault({}),
  requestTimeout: is.duration('100ms', '10m').prefault('30s').describe('Deadline of one API request.'),
  dateFormat,
  statusWords: section({
    completed: someWords('completed'),
    failed: someWords('failed'),
    cancelled: someWords('cancelled'),
    running: someWords('running'),
    waiting: someWords('waiting'),
  })
    .prefault({})
    .describe('Words for job states beyond the known ones.'),
  download: section({
    allowedHosts: is
      .list(0, 'a list of host names, without scheme, port or path', /^(\*\.)?[A-Za-z0-9.:_-]+$/)
      .prefault([])
      .describe('Hosts that pre-signed URLs may lead to. Empty: any public host.'),
    allowPrivateAddresses: is.flag().prefault(false).describe('Allow pre-signed URLs to private addresses.'),
  }).prefault({}),
}).transform(({ requestTimeout, ...rest }) => ({ ...rest, requestTimeoutMs: requestTimeout }));

const verify = (usual: 'head' | 'read') =>
  is.choice('head', 'read').prefault(usual).describe('Ask the store about the object, or read it back.');

const s3 = section({
  type: z.literal('s3'),
  bucket: is
    .matching(
      /^(arn:\S+|[A-Za-z0-9][A-Za-z0-9._-]{1,254})$/,
      'the name of a bucket, without s3:// and folders',
      {
        examples: ['genesys-exports'],
      },
    )
    .describe('Bucket, or the ARN of an access point.'),
  prefix: is.prefix().prefault('').describe('Folders that everything goes into.'),
  region: is.text('us-east-1').exactOptional().describe("Region. Left out: the SDK's own search."),
  endpoint: is.endpointUrl().exactOptional().describe('Address of a server other than AWS.'),
  forcePathStyle: is
    .flag()
    .prefault(false)
    .describe('https://host/bucket/key instead of https://bucket.host/key.'),
  accessKeyId: is
    .secret('accessKeyId', 'an access key id')
    .exactOptional()
    .describe('Left out: the default credential chain.'),
  secretAccessKey: is
    .secret('secretAccessKey', 'a secret access key')
    .exactOptional()
    .describe('Goes with accessKeyId.'),
  sessionToken: is
    .secret('sessionToken', 'a session token')
    .exactOptional()
    .describe('Goes with temporary credentials.'),
  sse: oneOf('type', 'AES256, aws:kms', [
    section({ type: z.literal('AES256') }),
    section({
      type: z.literal('aws:kms'),
      kmsKeyId: is
        .text('alias/exports')
        .exactOptional()
        .describe("Id, alias or ARN. Left out: AWS's own key."),
      bucketKey: is.flag().exactOptional().describe('Use an S3 bucket key.'),
    }),
  ])
    .exactOptional()
    .describe('Server-side encryption.'),
  storageClass: is
    .matching(/^[A-Z0-9_]+$/, 'a storage class in capitals, such as STANDARD_IA')
    .exactOptional()
    .describe('Storage class of the objects.'),
  partSize: is
    .size('5MiB', '1GiB')
    .prefault('8MiB')
    .describe('Size of a part; grows for large files and on fast links.'),
  concurrency: is.number(1, 64).prefault(8).describe('Most parts of one file in flight at once.'),
  signPayload: is
    .choice('auto', 'always', 'never')
    .prefault('auto')
    .describe('Whether the SHA-256 of the bytes is signed too. auto: where the endpoint is http.'),
  expectedBucketOwner: is
    .digits(/^\d{12}$/, 'an AWS account id: 12 digits, in quotes')
    .exactOptional()
    .describe('Refuse a bucket of any other account.'),
  verify: verify('head'),
}).transform(({ partSize, ...rest }) => ({ ...rest, partSizeBytes: partSize }));

const filesystem = section({
  type: z.literal('filesystem'),
  directory: is.path('/var/lib/udm-sync/exports').describe('Folder that everything goes into.'),
  verify: verify('read'),
});

const key = is
  .checked({ example: defaultKeyTemplate }, (template) => {
    try {
      compileKeyTemplate(template);
      return undefined;
    } catch (error) {
      if (error instanceof UsageError) return error.message;
      throw error;
    }
  })
  .exactOptional()
  .describe('Where a file goes in the sink.');

const windowLength = is.windowLength().prefault('1h').describe('Length of a window.');
const windowStart = is.date().exactOptional().describe('Where history starts.');
const catchUp = is.number(1, 100_000).prefault(24).describe('Most windows planned and not yet done at once.');
const cron = is
  .checked({ example: '5 * * * *' }, cronProblem)
  .describe('Five fields, or six with seconds first.');
const timeZone = is
  .checked({ example: 'UTC' }, timeZoneProblem)
  .prefault('UTC')
  .describe('IANA time zone of the cron.');

const adopt = section({
  title: is.text('Nightly contacts').describe('Title of the jobs, as the upstream shows it.'),
  match: is
    .choice('exact', 'contains', 'regex')
    .prefault('exact')
    .describe('How title is compared with the titles of jobs.'),
  every: is.duration('1s', '1d').prefault('10m').describe('How often their history is looked at.'),
  since: is
    .date()
    .exactOptional()
    .describe('Entries made before are left alone. Left out: 30 days before the first look.'),
  catchUp: is
    .number(1, 100_000)
    .prefault(100)
    .describe('Most entries under way at once; the others wait for their turn.'),
})
  .transform(({ every, ...rest }) => ({ ...rest, everyMs: every }))
  .superRefine(({ title, match }, context) => {
    const problem = match === 'regex' ? titlePatternProblem(title) : undefined;
    if (problem !== undefined) context.addIssue({ code: 'custom', path: ['title'], message: problem });
  });

/** Single settings that cross-checks.ts reads by themselves. */
export const fields = { windowLength, windowStart, catchUp, cron, timeZone, key, dateFormat, adopt };

const definition = section({
  tenant: is.text('acme').describe('Name of a tenant.'),
  sink: is.text('lake').describe('Name of a sink.'),
  source: is.text('UCSX').describe('Data source, as /v10/data/sources lists them.'),
  type: is.text('contacts').describe('Data type, as /v10/data/types lists them.'),
  subType: is.text('voice').exactOptional().describe('Data sub-type, sent as jobParams.type.'),
  media: is
    .list(1, 'a list of media, such as [voice, email]')
    .exactOptional()
    .describe('Sent as jobParams.media.'),
  attachments: is.flag().prefault(false).describe('Sent as jobParams.exportAttachments.'),
  fileSplitSize: is
    .digits(/^[1-9]\d{0,14}$/, 'a whole number above 0')
    .exactOptional()
    .describe('Split the export into files of this size.'),
  schedule: section({
    cron,
    timeZone,
  })
    .exactOptional()
    .describe('When to look for due windows. Left out: only run and backfill do.'),
  adopt: adopt
    .exactOptional()
    .describe('Collect what jobs made that people have scheduled upstream, instead of making jobs.'),
  windows: section({
    length: windowLength,
    lag: is.duration('0s', '31d').prefault('15m').describe('How long to wait after the end of a window.'),
    start: windowStart,
    catchUp,
  })
    .prefault({})
    .transform(({ length, lag, ...rest }) => ({ ...rest, lengthMs: length, lagMs: lag })),
  key,
  delete: is
    .choice('files', 'files-and-history', 'files-and-job', 'nothing')
    .prefault('files')
    .describe('What to delete upstream once everything is verified.'),
  maxExportDuration: is
    .duration('1s', '30d')
    .prefault('6h')
    .describe('An export that takes longer has failed.'),
  retry: section({
    attempts: is.number(1, 1000).prefault(5).describe('Most jobs made for one window.'),
    minDelay: is.duration('0s', '1d').prefault('30s').describe('Wait before the first retry.'),
    maxDelay: is.duration('0s', '7d').prefault('30m').describe('Longest wait before a retry.'),
  })
    .prefault({})
    .transform(({ minDelay, maxDelay, ...rest }) => ({
      ...rest,
      minDelayMs: minDelay,
      maxDelayMs: maxDelay,
    })),
}).transform(({ maxExportDuration, ...rest }) => ({
  ...rest,
  key: rest.key ?? (rest.adopt ? adoptedKeyTemplate : defaultKeyTemplate),
  maxExportDurationMs: maxExportDuration,
}));

const worker = section({
  exports: is
    .number(1, 1000)
    .prefault(8)
    .describe('Exports of each tenant that one process follows at once.'),
  transfers: is
    .number(1, 256)
    .prefault(4)
    .describe(
      'Large files of each tenant that one process transfers at once, and as many batches of small ones.',
    ),
  memory: is
    .size('16MiB', '256GiB')
    .exactOptional()
    .describe(
      'Bytes that all transfers of one process hold in memory together. Left out: a quarter of the machine or container, from 64MiB to 512MiB.',
    ),
  bandwidth: is
    .size('64KiB', '100GiB')
    .exactOptional()
    .describe('Most bytes per second that one process reads. Left out: no limit.'),
  shutdownGrace: is
    .duration('0s', '1h')
    .prefault('25s')
    .describe('Time to finish or hand back work on SIGTERM.'),
  poll: section({
    min: is.duration('10ms', '1h').prefault('5s').describe('Shortest time between looks at an export.'),
    max: is.duration('10ms', '1d').prefault('2m').describe('Longest time between looks at an export.'),
  })
    .prefault({})
    .transform(({ min, max }) => ({ minMs: min, maxMs: max })),
  createSettle: is.duration('0s', '1h').prefault('30s').describe('Wait after a create of unknown outcome.'),
  collectSettle: is
    .duration('0s', '1h')
    .prefault('10s')
    .describe('How long the list of files must stand still.'),
  sweepAfter: is
    .duration('0s', '30d')
    .prefault('1d')
    .describe('Age at which unfinished uploads that nobody continues are aborted, hourly. 0: never.'),
}).transform(({ memory, bandwidth, shutdownGrace, createSettle, collectSettle, sweepAfter, ...rest }) => ({
  ...rest,
  ...(memory === undefined ? {} : { memoryBytes: memory }),
  ...(bandwidth === undefined ? {} : { bandwidthBytes: bandwidth }),
  shutdownGraceMs: shutdownGrace,
  createSettleMs: createSettle,
  collectSettleMs: collectSettle,
  sweepAfterMs: sweepAfter,
}));

const retention = section({
  keepFor: is
    .duration('1h', '365d')
    .prefault('30d')
    .describe('How long the vendor keeps a file after it was made.'),
  warnAt: is
    .duration('1m', '365d')
    .prefault('10d')
    .describe('A file that is not safe is warned of so long before the vendor deletes it.'),
  criticalAt: is
    .duration('1m', '365d')
    .prefault('3d')
    .describe('The same as an error: somebody must act now.'),
}).transform(({ keepFor, warnAt, criticalAt }) => ({
  keepForMs: keepFor,
  warnAtMs: warnAt,
  criticalAtMs: criticalAt,
}));
const page = section({
  enabled: is.flag().prefault(true).describe('Whether the worker serves the status page.'),
  port: is.number(0, 65_535).prefault(8080).describe('Where the status page is served. 0: any free port.'),
  host: is
    .matching(/^[A-Za-z0-9.:_-]+$/, 'an address or host name of this machine, such as 127.0.0.1 or 0.0.0.0')
    .prefault('127.0.0.1')
    .describe('Address it listens on. 0.0.0.0: every one.'),
  allowedHosts: is
    .list(0, 'a list of host names, without scheme, port or path', /^(\*\.)?[A-Za-z0-9._-]+$/)
    .prefault([])
    .describe('Names by which browsers may reach it, besides localhost and addresses.'),
  token: is
    .secret('token', 'a secret of at least 16 characters', 16)
    .exactOptional()
    .describe('Whoever knows it may retry and cancel runs. Left out: nobody may.'),
});

const metrics = section({
  port: is
    .port()
    .prefault(9464)
    .describe('Where the worker serves /metrics, /healthz and /readyz. 0 or false: nowhere.'),
  host: is
    .matching(/^[A-Za-z0-9.:_-]+$/, 'an address or host name of this machine, such as 127.0.0.1 or 0.0.0.0')
    .prefault('127.0.0.1')
    .describe('Address it listens on. 0.0.0.0: every one.'),
});

const history = section({
  keep: is
    .duration('40d', '3650d')
    .exactOptional()
    .describe('Workers prune details of runs that ended longer ago, daily. Left out: they are kept.'),
}).transform(({ keep }) => (keep === undefined ? {} : { keepMs: keep }));
const webhook = section({
  url: is.webhookUrl().describe('Where it listens. Secret as a whole.'),
  format: is
    .choice('json', 'slack')
    .prefault('json')
    .describe('json: as docs/notifications.md says. slack: for Slack and what understands the same.'),
  on: is
    .choices(noticeKinds)
    .prefault([...noticeKinds])
    .describe('What it is told of.'),
  template: is
    .checked({ example: '{kind}: {text}' }, noticeTemplateProblem)
    .exactOptional()
    .describe('One line of a message. Left out: the usual words.'),
  groupFor: is
    .duration('0s', '1h')
    .prefault('30s')
    .describe('How long what happens is gathered into one message.'),
  minInterval: is.duration('0s', '1d').prefault('15m').describe('Shortest time between two messages.'),
  timeout: is.duration('100ms', '1m').prefault('10s').describe('Deadline of one request.'),
  giveUpAfter: is
    .duration('1s', '30d')
    .prefault('1d')
    .describe('What could not be told for so long is given up.'),
  gapGrace: is
    .duration('0s', '31d')
    .prefault('1h')
    .describe("How much later than it should be a definition's next success may come."),
  tenants: is.list(0, 'a list of tenants').prefault([]).describe('Only of these. Empty: of all.'),
  definitions: is.list(0, 'a list of definitions').prefault([]).describe('Only of these. Empty: of all.'),
}).transform(({ groupFor, minInterval, timeout, giveUpAfter, gapGrace, ...rest }) => ({
  ...rest,
  groupForMs: groupFor,
  minIntervalMs: minInterval,
  timeoutMs: timeout,
  giveUpAfterMs: giveUpAfter,
  gapGraceMs: gapGrace,
}));

const log = section({
  level: is
    .choice('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent')
    .prefault('info')
    .describe('LOG_LEVEL overrides it.'),
  format: is
    .choice('auto', 'json', 'pretty')
    .prefault('auto')
    .describe('auto: pretty on a terminal, else JSON.'),
});

/** Every setting: the shape of the YAML file going in, `Config` coming out. Cross-checks are in cross-checks.ts. */
export const configSchema = section({
  database: database.prefault({}).describe('Where the state is kept.'),
  tenants: entries('tenants', tenant).describe('Upstreams, by name.'),
  sinks: entries('sinks', oneOf('type', 's3, filesystem', [s3, filesystem])).describe(
    'Places to copy to, by name.',
  ),
  definitions: entries('definitions', definition).describe('What to export, when and where to, by name.'),
  worker: worker.prefault({}).describe('How much one process does at once, and how fast.'),
  retention: retention.prefault({}).describe('How long the vendor keeps files, and when to warn.'),
  page: page.prefault({}).describe('The status page of the worker.'),
  metrics: metrics.prefault({}).describe('What a worker tells a monitoring system.'),
  history: history.prefault({}).describe('How long Postgres remembers the details of runs.'),
  notifications: entries('webhooks', webhook, 0).prefault({}).describe('Webhooks that are told, by name.'),
  log: log.prefault({}).describe('What is logged, and how.'),
});
