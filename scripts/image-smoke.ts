/**
 * Builds the image and runs a whole sync in it: `migrate`, then `run`, against the demo's simulated tenant, S3 server
 * and PostgreSQL on this machine. Needs Docker, or root on Debian (see scripts/build-image.sh).
 *
 *   npx node scripts/image-smoke.ts
 */
import { spawn, spawnSync } from 'node:child_process';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { bucket, startParts } from '../demo/parts.ts';
import { createLogger } from '../src/log.ts';
import { startEmbeddedPostgres } from '../src/store/embedded-postgres.ts';

const build = join(import.meta.dirname, 'build-image.sh');
process.exitCode = await smoke();

async function smoke(): Promise<number> {
  if (spawnSync(build, { stdio: 'inherit' }).status !== 0) return 1;
  const parts = await startParts();
  const postgres = await startEmbeddedPostgres({
    dataDir: join(parts.folder, 'postgres'),
    logger: createLogger('warn', 'auto', 2),
  });
  try {
    // The image's user must be able to read it; the demo's credentials are no secret.
    await chmod(parts.configFile, 0o644);
    const udmSync = (...command: string[]) =>
      new Promise<number>((resolve, reject) => {
        const options = [
          '--env',
          `DATABASE_URL=${postgres.url}`,
          '--volume',
          `${parts.configFile}:/etc/udm-sync.yaml:ro`,
        ];
        const child = spawn(build, ['--run', ...options, '--', ...command, '-c', '/etc/udm-sync.yaml'], {
          stdio: 'inherit',
        });
        child.on('error', reject);
        child.on('exit', (code) => resolve(code ?? 1));
      });
    for (const command of [['migrate'], ['doctor'], ['run', '--timeout', '2m'], ['status']])
      if ((await udmSync(...command)) !== 0) return fail(`udm-sync ${command.join(' ')} failed in the image`);
    const { Contents: objects = [] } = await parts.s3.send(new ListObjectsV2Command({ Bucket: bucket }));
    const manifests = objects.filter(({ Key }) => Key?.endsWith('_manifest.json')).length;
    // Four hours of contacts and two of interactions.
    if (manifests !== 6) return fail(`the bucket holds ${manifests} manifests; 6 windows were due`);
    process.stderr.write(
      `image-smoke: a whole sync ran in the image: ${objects.length} objects, 6 manifests\n`,
    );
    return 0;
  } finally {
    await postgres.stop();
    await parts.stop();
  }
}

function fail(what: string): number {
  process.stderr.write(`image-smoke: ${what}\n`);
  return 1;
}
