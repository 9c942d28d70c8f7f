import type { Config } from '../config/config.ts';
import { plainWord } from '../config/words.ts';
import { UdmSyncError, describeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { openSink, openUpstream } from '../jobs/outside.ts';
import { adopts } from '../jobs/adopt.ts';
import { checkAdopted, checkCertificate, checkSink, checkUpstream } from '../jobs/preflight.ts';
import { openDatabase, showDatabaseUrl } from '../store/database.ts';
import { pendingMigrations } from '../store/migrate.ts';
import type { UdmClient } from '../udm/types.ts';
import { printable } from '../printable.ts';
import { exitCodes } from './exit-codes.ts';
import { tinted } from './colour.ts';
import { counted, print, printJson } from './output.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';
import { openPostgres } from './session.ts';
import type { DatabaseSession } from './session.ts';

interface Finding {
  readonly check: string;
  readonly ok: boolean;
  /** Of a failure; docs/errors.md explains it. */
  readonly code?: string | null;
  readonly detail: string;
}

/** `udm-sync doctor`: tries everything a run needs, and says what to do about what does not work. */
export async function doctorCommand(options: GlobalOptions): Promise<number> {
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const findings: Finding[] = [];
  const show = (finding: Finding) => {
    findings.push(finding);
    const code = finding.code ? ` [${finding.code}]` : '';
    if (!options.json)
      process.stdout.write(
        `${finding.ok ? tinted('good', 'ok  ') : tinted('bad', 'FAIL')}  ${printable(`${finding.check}: ${finding.detail}${code}`)}\n`,
      );
  };
  const check = async (name: string, action: () => Promise<string>) => {
    try {
      show({ check: name, ok: true, detail: await action() });
      return true;
    } catch (error) {
      const code = error instanceof UdmSyncError ? error.code : null;
      show({ check: name, ok: false, code, detail: describeError(error) });
      return false;
    }
  };
  show({ check: 'config', ok: true, detail: counted(Object.keys(config.definitions).length, 'definition') });
  await checkDatabase(config, logger, check);
  for (const [name, settings] of Object.entries(config.sinks)) {
    await check(`sink ${name}`, async () => {
      const sink = openSink(name, settings);
      try {
        await checkSink(sink);
      } finally {
        sink.close();
      }
      return `${sink.uri}: wrote, read and removed an object`;
    });
  }
  for (const name of Object.keys(config.tenants)) {
    const upstream = openUpstream(config, name, logger);
    try {
      await checkTenant(config, name, upstream, check);
    } finally {
      upstream.close();
    }
  }
  const failed = findings.filter((finding) => !finding.ok).length;
  if (options.json) printJson({ ok: failed === 0, findings });
  else print(failed === 0 ? '\nEverything works.' : `\n${failed} of ${findings.length} checks failed.`);
  return failed === 0 ? exitCodes.done : exitCodes.failed;
}

/** Tries something and shows how it went; resolves to whether it worked. */
type Check = (name: string, action: () => Promise<string>) => Promise<boolean>;

async function checkDatabase(config: Config, logger: Logger, check: Check): Promise<void> {
  const opening = openReachable(config, logger);
  await check('postgres', async () => {
    const { url } = await opening;
    return `${config.database.url === undefined ? 'the embedded one' : 'reachable'}, ${showDatabaseUrl(url)}`;
  });
  const postgres = await opening.catch(() => undefined);
  if (!postgres) return;
  await check('schema', async () => {
    const pending = await pendingMigrations(postgres.url);
    if (pending === 0) return 'up to date';
    if (config.database.migrate || config.database.url === undefined)
      return `${counted(pending, 'migration')} to apply; the next command does`;
    throw new UdmSyncError('ERR_MIGRATIONS', `The database lacks ${counted(pending, 'migration')}.`, {
      hint: 'Run: udm-sync migrate',
    });
  });
  await postgres.close();
}

async function openReachable(config: Config, logger: Logger): Promise<DatabaseSession> {
  const postgres = await openPostgres(config, logger);
  try {
    await (await openDatabase(postgres.url, 1, logger)).close();
    return postgres;
  } catch (error) {
    await postgres.close();
    throw error;
  }
}

async function checkTenant(config: Config, name: string, upstream: UdmClient, check: Check): Promise<void> {
  const granted = await check(`tenant ${name}: token`, async () => {
    await upstream.checkToken();
    return 'granted';
  });
  // What comes next would fail for the same reason, only more slowly.
  if (!granted) return;
  const allowed = await check(`tenant ${name}: API key and access`, async () => {
    await checkUpstream(upstream);
    const version = await upstream.getVersion();
    return version === undefined ? 'works' : `works; UDM ${version}`;
  });
  if (!allowed) return;
  await check(`tenant ${name}: certificate`, () => checkCertificate(upstream, name));
  const wanted = Object.values(config.definitions).filter((definition) => definition.tenant === name);
  for (const definition of wanted.filter(adopts))
    await check(`definition ${definition.name}: adopts "${definition.adopt.title}"`, () =>
      checkAdopted(config, definition, upstream),
    );
  for (const source of new Set(wanted.map((definition) => definition.source)))
    await check(`tenant ${name}: source ${source}`, async () => {
      const known = await upstream.listSources();
      return oneOf(
        source,
        known.map((word) => word.name),
        'source',
      );
    });
  for (const definition of wanted)
    await check(`definition ${definition.name}: type ${definition.type}`, async () => {
      const known = await upstream.listTypes(definition.source);
      return oneOf(
        definition.type,
        known.map((word) => word.name),
        `type of ${definition.source}`,
      );
    });
}

function oneOf(wanted: string, known: readonly string[], what: string): string {
  // A tenant that lists nothing says nothing against the word.
  if (known.length === 0) return `the upstream lists no ${what}; not checked`;
  if (known.includes(wanted)) return 'known';
  const near = known.find((word) => plainWord(word) === plainWord(wanted));
  if (near !== undefined) return `known as "${near}"; write it so if exports are refused`;
  throw new UdmSyncError(
    'ERR_UNKNOWN_WORD',
    `The upstream has no ${what} "${wanted}"; it has: ${known.join(', ')}.`,
    {
      hint: 'Correct the definition, or ask whoever administers the tenant for the missing role.',
    },
  );
}
