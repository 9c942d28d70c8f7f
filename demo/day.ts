/**
 * A day in the life of an operator, on parts that need nothing installed: the real command line against a simulated UDM
 * tenant, an embedded S3 server and an embedded Postgres. `npm run day` prints what is typed and what is answered;
 * docs/a-day-in-the-life.md tells the same day, and a test compares the two;
 * `npm run day -- --update` brings it up to date.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { startFauxqs } from 'fauxqs';
import { openPostgres } from '../src/cli/session.ts';
import { loadConfig } from '../src/config/load.ts';
import { createLogger } from '../src/log.ts';
import { startSimulator } from '../simulator/server.ts';
import { certificate } from './day-certificate.ts';
import { withTranscript } from './day-document.ts';

const mainFile = join(import.meta.dirname, '../src/cli/main.ts');
const bucket = 'acme-exports';

/** Secrets stay out of the file: they come from the environment. */
const environment = {
  UDM_API_KEY: 'acme-api-key',
  UDM_CLIENT_SECRET: 'acme-client-secret',
  UDM_PASSWORD: 'acme-password',
  AWS_ACCESS_KEY_ID: 'day',
  AWS_SECRET_ACCESS_KEY: 'day-secret',
};

const tenant = {
  name: 'acme',
  apiKey: environment.UDM_API_KEY,
  clientId: 'acme-client',
  clientSecret: environment.UDM_CLIENT_SECRET,
  username: 'export',
  password: environment.UDM_PASSWORD,
};

const configFor = (upstream: string, s3: string) => `\
tenants:
  acme:
    baseUrl: ${upstream}
    apiKey: \${UDM_API_KEY}
    auth:
      grant: password
      clientId: acme-client
      clientSecret: \${UDM_CLIENT_SECRET}
      username: 'acme\\export'
      password: \${UDM_PASSWORD}
    limits: { requestsPerSecond: 50 }
sinks:
  lake: { type: s3, bucket: ${bucket}, region: us-east-1, endpoint: '${s3}', forcePathStyle: true }
definitions:
  contacts-hourly:
    tenant: acme
    sink: lake
    source: UCSX
    type: Contacts
    windows: { length: 1h }
    retry: { attempts: 2, minDelay: 100ms, maxDelay: 1s }
database: { dataDir: ./postgres }
worker: { poll: { min: 200ms, max: 1s }, collectSettle: 200ms, createSettle: 500ms }
log: { level: warn, format: json }
`;

const documentFile = join(import.meta.dirname, '../docs/a-day-in-the-life.md');

const [flag, ...rest] = process.argv.slice(2);
if ((flag !== undefined && flag !== '--update') || rest.length > 0) {
  process.stderr.write(`day: ${process.argv.slice(2).join(' ')} is not an option; there is only --update.\n`);
  process.exit(2);
}
let transcript = '';
await day();
if (flag === '--update')
  await writeFile(documentFile, withTranscript(await readFile(documentFile, 'utf8'), transcript));

/** Prints, and keeps for the document. */
function tell(text: string): void {
  transcript += text;
  process.stdout.write(text);
}

async function day(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'udm-sync-day-'));
  // As root, PostgreSQL runs as another user, who must be able to pass.
  await chmod(folder, 0o711);
  const simulator = await startSimulator({
    seed: 'day',
    tenants: [tenant],
    certificate: false,
    exportDuration: 500,
    filesFor: (_, { from = new Date(0) }) => [
      {
        name: `contacts-${from.toISOString().slice(0, 13)}.zip.smime`,
        size: 100_000 + 1000 * from.getUTCHours(),
      },
    ],
  });
  const server = await startFauxqs({ port: 0, logger: false, s3StorageDir: join(folder, 's3') });
  const endpoint = `http://127.0.0.1:${server.port}`;
  const type = (command: string) => typed(folder, command);
  try {
    await makeBucket(endpoint);
    const text = configFor(simulator.baseUrl, endpoint);
    await writeFile(join(folder, 'udm-sync.yaml'), text);
    await writeFile(join(folder, 'acme-2026.pem'), certificate);
    const config = await loadConfig({
      text: text.replace('./postgres', join(folder, 'postgres')),
      path: 'udm-sync.yaml',
      env: environment,
    });
    // Each command starts the embedded Postgres if nobody has, and stops it if nobody needs it: kept up, they are quick.
    const postgres = await openPostgres(config, createLogger('error', 'json', 2));
    try {
      say('The config');
      tell(`$ cat udm-sync.yaml\n${await readFile(join(folder, 'udm-sync.yaml'), 'utf8')}`);

      say('Does everything work?');
      await type('doctor');
      await type('cipher upload acme-2026.pem');
      await type('doctor');

      say('The first backfill');
      await type('backfill contacts-hourly --from 2026-01-05 --to 2026-01-05T06:00 --dry-run');
      await type('backfill contacts-hourly --from 2026-01-05 --to 2026-01-05T06:00');
      await type('status');

      say('A window fails');
      const trouble = simulator.faults.add({
        endpoint: 'POST /v10/export/jobs',
        kind: 'job-fails',
        times: 2,
        reason: 'Data source is not available',
      });
      await type('backfill contacts-hourly --from 2026-01-05T06:00 --to 2026-01-05T07:00');
      trouble.remove();
      await type('status');

      say('The repair');
      await type('retry 7');
      await type('backfill contacts-hourly --from 2026-01-05T06:00 --to 2026-01-05T07:00');
      await type('status');

      say('The evidence');
      await type('report --from 2026-01-05 --to 2026-01-06 --output 2026-01-05.html');
      await type('report --from 2026-01-05 --to 2026-01-06 --output 2026-01-05.csv');
    } finally {
      await postgres.close();
    }
  } finally {
    await server.stop();
    await simulator.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function makeBucket(endpoint: string): Promise<void> {
  const s3 = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: {
      accessKeyId: environment.AWS_ACCESS_KEY_ID,
      secretAccessKey: environment.AWS_SECRET_ACCESS_KEY,
    },
  });
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  s3.destroy();
}

function say(title: string): void {
  tell(`\n## ${title}\n\n`);
}

/** Runs a command as if it were typed in the folder, and shows all it says. */
async function typed(folder: string, command: string): Promise<void> {
  tell(`$ udm-sync ${command}\n`);
  const child = spawn(process.execPath, [mainFile, ...command.split(' ')], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => tell(text));
  const ended: unknown[] = await once(child, 'close');
  const code = ended[0];
  if (code !== 0) tell(`(exit code ${String(code)})\n`);
}
