import { expect, test } from 'vitest';
import { maskDatabaseUrl, maskedConfig } from '../../src/config/print.ts';
import { load } from './fixture.ts';

test.each([
  { grant: 'password', clientId: 'id', clientSecret: 'hush', username: 'u', password: 'hush' },
  { grant: 'client_credentials', clientId: 'id', clientSecret: 'hush' },
  { grant: 'refresh_token', clientId: 'id', clientSecret: 'hush', refreshToken: 'hush' },
  { grant: 'token', token: 'hush' },
])('no secret of $grant is printed', async (auth) => {
  const keys = { accessKeyId: 'hush', secretAccessKey: 'hush', sessionToken: 'hush' };
  const config = await load({
    'tenants/acme/auth': auth,
    'database/url': 'postgres://joe:hush@db:5432/udm',
    'sinks/lake': { type: 's3', bucket: 'exports', ...keys },
    'definitions/hourly/windows': { start: '2026-01-01' },
  });
  const masked = maskedConfig(config);
  expect(JSON.stringify(masked)).not.toContain('hush');
  expect(masked).toMatchObject({
    database: { url: 'postgres://joe:***@db:5432/udm', poolSize: 10 },
    tenants: {
      acme: { name: 'acme', apiKey: '***', baseUrl: 'https://gapi.example.com', auth: { grant: auth.grant } },
    },
    sinks: { lake: { bucket: 'exports', secretAccessKey: '***' } },
    definitions: { hourly: { tenant: 'acme', windows: { start: '2026-01-01T00:00:00.000Z' } } },
  });
});

test.each([
  ['postgres://h/d?user=joe&password=hush', 'postgres://h/d?user=joe&password=***'],
  ['postgres://h/d', 'postgres://h/d'],
  ['host=h password=hush', '***'],
])('%s', (url, expected) => expect(maskDatabaseUrl(url)).toBe(expected));
