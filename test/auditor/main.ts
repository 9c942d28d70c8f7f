import { parseArgs } from 'node:util';
import { readFile } from 'node:fs/promises';
import { S3Client } from '@aws-sdk/client-s3';
import { Pool } from 'pg';
import { z } from 'zod';
import { collectFacts, expectationsSchema, testimonySchema } from './facts.ts';
import { audit, rules, unchecked } from './rules.ts';
import type { Storage } from './storage.ts';

const HELP = `Judges by the upstream's own log, the stored bytes and Postgres whether everything arrived whole, and
nothing was deleted before it had. Shares no code with the program.

Usage: node test/auditor/main.ts --log <file> --expect <file> (--bucket <name> | --folder <path>) [flags]

  --log <file>         the simulator's log (npm run simulator -- --log-file <file>)
  --expect <file>      JSON: which windows there should be, where their files lie, what is deleted (Expectation in
                       test/auditor/facts.ts)
  --bucket <name>      a bucket; credentials come from the environment (AWS_ACCESS_KEY_ID and the rest)
  --endpoint <url>     of a server other than AWS; implies path-style addresses
  --no-uploads         the server does not list unfinished uploads
  --folder <path>      the directory of a filesystem sink, instead of a bucket
  --database <url>     Postgres; default DATABASE_URL
  --witness <file>     JSON lines: what Postgres said before each DELETE
  --json               print { "violations": [], "unchecked": [], "rules": [], "files": 12, "bytes": 34 }
  --help

Example: node test/auditor/main.ts --log upstream.jsonl --expect expected.json --bucket lake --endpoint http://127.0.0.1:9000
Exit codes: 0 nothing to complain about, 1 violations (or it could not look), 2 wrong flags.
`;

class FlagError extends Error {}

function readFlags(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args,
      options: {
        log: text,
        expect: text,
        bucket: text,
        endpoint: text,
        'no-uploads': flag,
        folder: text,
        database: text,
        witness: text,
        json: flag,
        help: flag,
      },
    }).values;
  } catch (error) {
    throw new FlagError(error instanceof Error ? error.message : String(error));
  }
}

function needed(flag: string, value: string | undefined): string {
  if (value === undefined) throw new FlagError(`--${flag} is required.`);
  return value;
}

function storageOf(flags: ReturnType<typeof readFlags>): Storage {
  const { bucket, folder, endpoint } = flags;
  if ((bucket === undefined) === (folder === undefined))
    throw new FlagError('Either --bucket or --folder is required, and not both.');
  if (folder !== undefined) return { kind: 'folder', folder };
  const client = new S3Client({
    region: process.env['AWS_REGION'] ?? 'us-east-1',
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
  });
  return { kind: 's3', client, bucket: needed('bucket', bucket), listsUploads: !flags['no-uploads'] };
}

async function main(): Promise<number> {
  const flags = readFlags(process.argv.slice(2));
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  const log = needed('log', flags.log);
  const expect = needed('expect', flags.expect);
  const storage = storageOf(flags);
  const expected = expectationsSchema.parse(JSON.parse(await readFile(expect, 'utf8')));
  const testimonies =
    flags.witness === undefined
      ? undefined
      : z.array(testimonySchema).parse(
          (await readFile(flags.witness, 'utf8'))
            .split('\n')
            .filter((line) => line !== '')
            .map((line): unknown => JSON.parse(line)),
        );
  const database = new Pool({
    connectionString: needed('database', flags.database ?? process.env['DATABASE_URL']),
    max: 1,
  });
  try {
    const facts = await collectFacts({ log, storages: [storage], database, testimonies, expected });
    const violations = audit(facts);
    const gaps = unchecked(facts);
    const bytes = facts.objects.reduce((sum, { size }) => sum + size, 0);
    if (flags.json)
      console.log(
        JSON.stringify({
          violations,
          unchecked: gaps,
          rules: Object.keys(rules),
          files: facts.objects.length,
          bytes,
        }),
      );
    else {
      for (const violation of violations) console.log(violation);
      for (const gap of gaps) console.log(`not checked: ${gap}`);
      console.log(
        `${violations.length} violations; ${facts.runs.length} runs, ${facts.upstreamFiles.length} files made upstream, ` +
          `${facts.objects.length} objects with ${bytes} bytes, ${facts.requests.length} requests.`,
      );
    }
    return violations.length > 0 ? 1 : 0;
  } finally {
    await database.end();
    if (storage.kind === 's3') storage.client.destroy();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  console.error(
    error instanceof FlagError ? `${message} See --help.` : `The auditor could not look: ${message}`,
  );
  process.exitCode = error instanceof FlagError ? 2 : 1;
}
