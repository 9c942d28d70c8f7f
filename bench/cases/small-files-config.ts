import { simulatedCredentials } from '../../simulator/options.ts';
import type { Destination } from '../destination.ts';

const dayMs = 86_400_000;

/** What an operator in a hurry would set; everything else is as it comes. docs/benchmarks.md names these. */
const hurry = {
  limits: { requestsPerSecond: 1000, transfers: 64 },
  worker: { transfers: 8, collectSettle: '1s', poll: { min: '500ms', max: '1s' } },
};

/** The config file of a worker that has one window to export: yesterday. */
export function smallFilesConfig(
  databaseUrl: string,
  upstreamUrl: string,
  { endpoint, region, bucket, accessKeyId, secretAccessKey }: Destination['address'],
): unknown {
  const { apiKey, clientId, clientSecret } = simulatedCredentials('demo');
  const midnight = new Date(Math.floor(Date.now() / dayMs) * dayMs);
  return {
    database: { url: databaseUrl },
    tenants: {
      demo: {
        baseUrl: upstreamUrl,
        apiKey,
        auth: { grant: 'client_credentials', clientId, clientSecret },
        limits: hurry.limits,
      },
    },
    sinks: {
      lake: { type: 's3', bucket, endpoint, region, forcePathStyle: true, accessKeyId, secretAccessKey },
    },
    definitions: {
      small: {
        tenant: 'demo',
        sink: 'lake',
        source: 'UCSX',
        type: 'interactions',
        windows: { length: '1d', lag: '0s', start: new Date(midnight.getTime() - dayMs).toISOString() },
        delete: 'files-and-job',
      },
    },
    worker: hurry.worker,
    log: { level: 'warn' },
  };
}

/** Files that one process transfers at a time. */
export const transfersAtOnce = hurry.worker.transfers;
