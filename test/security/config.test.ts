import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/config/config-error.ts';
import { loadConfig } from '../../src/config/load.ts';
import { now, yamlWith } from '../config/fixture.ts';

/** A config file that somebody else has written. */

async function refusedFor(text: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  try {
    await loadConfig({ text, env, now });
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('The configuration was accepted.');
}

describe('a config file', () => {
  test.each([
    [
      'aliases that multiply (a billion laughs)',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'
        .split('')
        .map((name, at) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[at]}`).join(',')}]`)
        .join('\n')}\n`,
      /alias/,
    ],
    ['an alias of itself', 'a: &a [*a]\n', /nested deeper than 32 levels, or holds itself/],
    ['100,000 levels', `a: ${'['.repeat(100_000)}`, /nested far too deeply/],
    [
      '2,000 levels of mappings',
      Array.from({ length: 2000 }, (_, at) => `${' '.repeat(at)}a:`).join('\n'),
      /nested deeper/,
    ],
    ['a tag that runs code', 'a: !!js/function "function(){ process.exit(9) }"\n', /YAML is not valid/],
    ['a key `__proto__`', '__proto__:\n  log: { level: silent }\n', /__proto__/],
    ['a second document', `${yamlWith()}---\n${yamlWith()}`, /YAML is not valid/],
    ['megabytes of nothing', `#${'x'.repeat(5_000_000)}\n`, /empty/],
  ])('with %s is refused in words', async (_what, text, says) => {
    const begun = performance.now();
    expect(await refusedFor(text)).toMatch(says);
    // Not a matter of speed: what multiplies takes hours, or all of the memory.
    expect(performance.now() - begun).toBeLessThan(30_000);
    expect({}).not.toHaveProperty('log');
  });

  test('cannot reach into our objects by a key', async () => {
    const text = yamlWith({ 'tenants/acme/statusWords': { ['__proto__']: ['x'], constructor: ['y'] } });
    expect(await refusedFor(text)).toMatch(/statusWords/);
    for (const variable of ['UDM_SYNC___PROTO____LEVEL', 'UDM_SYNC_CONSTRUCTOR__PROTOTYPE__X'])
      expect(await refusedFor(yamlWith(), { [variable]: 'x' })).toContain('is no setting');
  });

  test('reads no variable of a variable, and no file but those it names', async () => {
    const text = yamlWith({ 'definitions/hourly/type': '${OUTER}' });
    const config = await loadConfig({ text, env: { OUTER: '${INNER}', INNER: 'secret' }, now });
    expect(config.definitions['hourly']?.type).toBe('${INNER}');
  });

  test.each([
    ['http://gapi.example.com', 'an upstream without TLS'],
    ['https://user:pass@gapi.example.com', 'credentials in its address'],
    ['file:///etc/passwd', 'an address of another kind'],
  ])('that names %s (%s) is refused', async (baseUrl) => {
    expect(await refusedFor(yamlWith({ 'tenants/acme/baseUrl': baseUrl }))).toMatch(/tenants\.acme\.baseUrl/);
  });
});
