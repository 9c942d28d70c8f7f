import { parseArgs } from 'node:util';
import { startSimulator, simulatedCredentials, type Simulator, type SimulatorOptions } from './server.ts';

const HELP = `A stand-in for the UDM v10 upstream, with an S3 origin for the pre-signed URLs.

Usage: npm run simulator -- [flags]

  --port <n>               API port (default 8085; 0 takes a free one)
  --origin-port <n>        port of the S3 origin (default a free one)
  --tenant <name>          a customer; repeat for several (default "demo")
  --seed <text>            decides ids, sizes and bytes (default "udm")
  --speed <n>              simulated seconds for each real one (default 1; 0 stands still)
  --export-duration <s>    simulated seconds an export takes (default 60)
  --url-lifetime <s>       simulated seconds a pre-signed URL lives (default 300)
  --token-lifetime <s>     simulated seconds a token lives (default 43199)
  --file-size <min>-<max>  bytes, with KiB, MiB or GiB (default 64KiB-4MiB)
  --max-page-size <n>      largest page of a list (default 100)
  --shape <shape>          envelope, bare, array or mixed (default envelope)
  --string-values          numbers and booleans travel as strings
  --numeric-ids            ids are JSON numbers
  --no-certificate         start without an encryption certificate
  --log-file <path>        append a JSON line for every request
  --help

Example: npm run simulator -- --port 8085 --speed 60 --file-size 1MiB-100MiB
Exit codes: 0 stopped by a signal, 1 could not start, 2 wrong flags.
`;

class FlagError extends Error {}

function readFlags(args: string[]): SimulatorOptions & { help?: boolean } {
  const { values } = parse(args);
  if (values.help) return { help: true };
  const shape = values.shape ?? 'envelope';
  if (shape !== 'envelope' && shape !== 'bare' && shape !== 'array' && shape !== 'mixed') {
    throw new FlagError(`--shape must be envelope, bare, array or mixed, not "${shape}".`);
  }
  const tenants = values.tenant ?? ['demo'];
  if (new Set(tenants).size < tenants.length) throw new FlagError('--tenant names must differ.');
  return {
    port: whole('--port', values.port ?? '8085', 0, 65_535),
    originPort: whole('--origin-port', values['origin-port'] ?? '0', 0, 65_535),
    tenants: tenants.map(simulatedCredentials),
    seed: values.seed ?? 'udm',
    speed: number('--speed', values.speed ?? '1'),
    exportDuration: number('--export-duration', values['export-duration'] ?? '60') * 1000,
    urlLifetime: whole('--url-lifetime', values['url-lifetime'] ?? '300', 1, 604_800),
    tokenLifetime: whole('--token-lifetime', values['token-lifetime'] ?? '43199', 1, 1e9),
    fileSize: sizes(values['file-size'] ?? '64KiB-4MiB'),
    maxPageSize: whole('--max-page-size', values['max-page-size'] ?? '100', 1, 1e9),
    shape,
    stringValues: values['string-values'] ?? false,
    numericIds: values['numeric-ids'] ?? false,
    certificate: !values['no-certificate'],
    ...(values['log-file'] === undefined ? {} : { logFile: values['log-file'] }),
  };
}

function parse(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args,
      options: {
        port: text,
        'origin-port': text,
        tenant: { type: 'string', multiple: true },
        seed: text,
        speed: text,
        'export-duration': text,
        'url-lifetime': text,
        'token-lifetime': text,
        'file-size': text,
        'max-page-size': text,
        shape: text,
        'string-values': flag,
        'numeric-ids': flag,
        'no-certificate': flag,
        'log-file': text,
        help: flag,
      },
    });
  } catch (error) {
    throw new FlagError(error instanceof Error ? error.message : String(error));
  }
}

function number(flag: string, text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new FlagError(`${flag} must be a number, not "${text}".`);
  return Number(text);
}

function whole(flag: string, text: string, least: number, most: number): number {
  const value = number(flag, text);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new FlagError(`${flag} must be a whole number from ${least} to ${most}, not "${text}".`);
  }
  return value;
}

function sizes(text: string): [number, number] {
  const units: Record<string, number> = { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
  const parts = /^(\d+)(|[KMG]iB)-(\d+)(|[KMG]iB)$/.exec(text);
  const smallest = Number(parts?.[1]) * (units[parts?.[2] ?? ''] ?? NaN);
  const largest = Number(parts?.[3]) * (units[parts?.[4] ?? ''] ?? NaN);
  if (!(smallest <= largest)) throw new FlagError(`--file-size must look like 64KiB-4MiB, not "${text}".`);
  return [smallest, largest];
}

function describe(sim: Simulator): string {
  const tenants = sim.tenants.map(
    (t) =>
      `  ${t.name}: x-api-key ${t.apiKey}, client ${t.clientId} / ${t.clientSecret}, user ${t.name}\\${t.username} / ${t.password}`,
  );
  const [first] = sim.tenants;
  return `UDM simulator
  API        ${sim.baseUrl}   (/auth/v3/oauth/token, /udm/v10/…)
  S3 origin  ${sim.originUrl}   (pre-signed URLs only)
Tenants
${tenants.join('\n')}

Try it:
  TOKEN=$(curl -s -u ${first?.clientId}:${first?.clientSecret} -H 'x-api-key: ${first?.apiKey}' \\
    -d grant_type=client_credentials ${sim.baseUrl}/auth/v3/oauth/token | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
  curl -s -H 'x-api-key: ${first?.apiKey}' -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -d '{"source":"UCSX","type":"Interactions","title":"first","timeFrame":{"all":true},"schedulerParam":{"immediately":true}}' \\
    ${sim.baseUrl}/udm/v10/export/jobs
  curl -s -d '{"advance":60000}' ${sim.baseUrl}/_sim/clock     # let a simulated minute pass
  curl -s -H 'x-api-key: ${first?.apiKey}' -H "Authorization: Bearer $TOKEN" ${sim.baseUrl}/udm/v10/file-metadatas
  curl -s ${sim.baseUrl}/_sim/state                            # what upstream knows; also log, faults, digest

Ctrl-C stops it.`;
}

async function main(): Promise<void> {
  const options = readFlags(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return;
  }
  const sim = await startSimulator(options);
  console.log(describe(sim));
  const stop = () => void sim.close();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

try {
  await main();
} catch (error) {
  const wrongFlags = error instanceof FlagError;
  const message = error instanceof Error ? error.message : String(error);
  console.error(wrongFlags ? `${message} See --help.` : `The simulator could not start: ${message}`);
  process.exitCode = wrongFlags ? 2 : 1;
}
