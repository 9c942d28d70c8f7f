import type { TestProject } from 'vitest/node';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { startTestServer } from './postgres-server.ts';
import { createTemplate } from './postgres.ts';
import { cephEndpointVariable, cephInstalled, startCeph } from './s3.ts';

/** Starts what all test files share: one Postgres, and Ceph RGW where it is installed. Both end with this process. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const started = await Promise.allSettled([preparePostgres(project), prepareCeph()]);
  const stopAll = async () => {
    for (const outcome of started) if (outcome.status === 'fulfilled') await outcome.value();
  };
  for (const outcome of started)
    if (outcome.status === 'rejected') {
      await stopAll();
      throw outcome.reason;
    }
  return stopAll;
}

async function preparePostgres(project: TestProject): Promise<() => Promise<void>> {
  const server = await startTestServer();
  console.log(`Postgres of this run: ${server.description}`);
  try {
    const template = await createTemplate(server.url, migrateDatabase);
    project.provide('testPostgres', { url: server.url, template });
  } catch (error) {
    await server.stop();
    throw error;
  }
  return () => server.stop();
}

async function prepareCeph(): Promise<() => Promise<void>> {
  if (!cephInstalled()) {
    console.log('S3 of this run: fauxqs alone (Ceph RGW is not installed)');
    return () => Promise.resolve();
  }
  const ceph = await startCeph();
  process.env[cephEndpointVariable] = ceph.endpoint;
  console.log(`S3 of this run: fauxqs, and Ceph RGW at ${ceph.endpoint}`);
  return () => ceph.stop();
}
