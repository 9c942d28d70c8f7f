import { readFile } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { loadConfig } from '../../src/config/load.ts';
import { now, yamlWith } from './fixture.ts';

const example = new URL('../../udm-sync.example.yaml', import.meta.url);
// Values may be numbers or text, and a pattern then holds for the text alone: allowed, but not in ajv's strictest mode.
const validate = new Ajv2020({ strict: true, strictTypes: false, allErrors: true }).compile(
  configJsonSchema(),
);

test('the example file fits the schema and loads', async () => {
  const text = await readFile(example, 'utf8');
  expect(validate(parse(text)), JSON.stringify(validate.errors)).toBe(true);
  const env = { UDM_API_KEY: 'a', UDM_CLIENT_ID: 'b', UDM_CLIENT_SECRET: 'c', UDM_PASSWORD: 'd' };
  const config = await loadConfig({ text, env, now });
  expect(Object.keys(config.definitions)).toEqual([
    'contacts-hourly',
    'interactions-daily',
    'contacts-archive',
    'nightly-contacts',
  ]);
  expect(config.tenants['acme']?.auth).toMatchObject({ username: 'acme\\exporter', password: 'd' });
});

test.each([
  {
    'worker/exports': '${N}',
    'database/migrate': '${M}',
    'log/level': '${L}',
    'definitions/hourly/media': '${X}',
  },
  { 'tenants/acme/apiKey': undefined, 'tenants/acme/apiKeyFile': '/run/secrets/key' },
  { 'tenants/acme/auth': { grant: 'token', tokenFile: '/run/secrets/token' } },
  { 'definitions/hourly/fileSplitSize': 1024, 'sinks/lake/partSize': 8_388_608 },
  { 'definitions/hourly/windows': { lag: 0 } },
])('%j fits', (changes) => {
  expect(validate(parse(yamlWith(changes))), JSON.stringify(validate.errors)).toBe(true);
});

test.each([
  { wrker: {} },
  { 'tenants/acme/apikey': 'x' },
  { 'tenants/acme/auth': { grant: 'magic' } },
  { 'tenants/Acme': {} },
  { 'sinks/lake/partSize': '8 potatoes' },
  { 'sinks/lake/verify': 'never' },
  { 'definitions/hourly/source': undefined },
  { 'definitions/hourly/windows': { lag: 5 } },
  { 'worker/exports': 0 },
  { 'log/level': 'loud' },
  { definitions: {} },
])('%j does not fit', (changes) => {
  expect(validate(parse(yamlWith(changes)))).toBe(false);
});

test('every setting is described', () => {
  const bare: string[] = [];
  const look = (node: unknown, path: string) => {
    if (typeof node !== 'object' || node === null) return;
    if ('properties' in node && typeof node.properties === 'object')
      for (const [name, child] of Object.entries(node.properties ?? {})) {
        const described = 'const' in child || 'description' in child || 'properties' in child;
        if (!described) bare.push(`${path}.${name}`);
      }
    for (const [key, child] of Object.entries(node)) look(child, `${path}.${key}`);
  };
  look(configJsonSchema(), '');
  expect(bare).toEqual([]);
});

test('docs/configuration.md names every setting', async () => {
  const docs = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  const missing = new Set<string>();
  const look = (node: unknown) => {
    if (typeof node !== 'object' || node === null) return;
    if ('properties' in node && typeof node.properties === 'object')
      for (const name of Object.keys(node.properties ?? {}))
        if (!name.endsWith('File') && !new RegExp(`\\b${name}\\b`).test(docs)) missing.add(name);
    for (const child of Object.values(node)) look(child);
  };
  look(configJsonSchema());
  expect([...missing]).toEqual([]);
});
