import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** The Postgres server of this run and the migrated database that those of the tests are copied from. */
    testPostgres: { readonly url: string; readonly template: string };
  }
}

export interface TestDatabase {
  /** Connection URL of a superuser. */
  readonly url: string;
  /** Removes the database, disconnecting whoever is still there. */
  drop(): Promise<void>;
}

/** A Postgres server and the migrated database on it that others are copied from. */
export interface TemplateServer {
  readonly url: string;
  readonly template: string;
}

/** Makes a migrated, empty database of its own for whoever asks: by default on the server of this test run. */
export async function createTestDatabase(
  server: TemplateServer = inject('testPostgres'),
): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  // Without a WAL to keep safe, copying the files is several times faster than the default.
  await command(server.url, `create database ${name} template ${server.template} strategy file_copy`);
  const url = new URL(server.url);
  url.pathname = name;
  return { url: url.href, drop: () => command(server.url, `drop database if exists ${name} with (force)`) };
}

/** Makes the database that createTestDatabase copies: `migrate` gets its URL, and nobody connects to it after. */
export async function createTemplate(
  serverUrl: string,
  migrate: (url: string) => Promise<unknown>,
): Promise<string> {
  const name = 'udm_sync_test_template';
  await command(serverUrl, `create database ${name}`);
  const url = new URL(serverUrl);
  url.pathname = name;
  await migrate(url.href);
  await command(serverUrl, `alter database ${name} with allow_connections false`);
  return name;
}

async function command(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
