import { Client } from 'pg';
import { afterEach, expect, test } from 'vitest';
import { pendingMigrations } from '../../src/store/migrate.ts';
import { createTestDatabase } from '../support/postgres.ts';
import type { TestDatabase } from '../support/postgres.ts';

const databases: TestDatabase[] = [];

async function create(): Promise<TestDatabase> {
  const database = await createTestDatabase();
  databases.push(database);
  return database;
}

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

afterEach(async () => {
  for (const database of databases.splice(0)) await database.drop();
});

test('gives every test file a migrated database of its own, even many at once', async () => {
  const [one, two] = await Promise.all([create(), create(), create(), create()]);
  expect(await pendingMigrations(one.url)).toBe(0);
  const [inOne, inTwo] = [await connect(one.url), await connect(two.url)];
  await inOne.query('create table only_here ()');
  const { rows } = await inTwo.query("select to_regclass('only_here') as found");
  expect(rows).toEqual([{ found: null }]);
  await Promise.all([inOne.end(), inTwo.end()]);
});

test('drops a database that somebody is still connected to', async () => {
  const database = await create();
  const client = await connect(database.url);
  const ended = new Promise((resolve) => client.once('end', resolve));
  await database.drop();
  await ended;
  await expect(connect(database.url)).rejects.toThrow(/does not exist/);
});
