import { join } from 'node:path';
import { findProgram, firstLine } from '../machine.ts';
import { nodeFlags } from '../node-flags.ts';
import { errandArguments } from './client.ts';
import type { Errand } from './client.ts';

/** One way to bring a file from a URL into S3. */
export interface Contender {
  readonly id: 'ours' | 'ours-unsigned' | 'floor' | 'lib-storage' | 'curl-aws' | 'rclone';
  /** What it is, with its version, for the table. */
  readonly name: string;
  /** Why it cannot run here; undefined if it can. */
  readonly missing?: string;
  command(errand: Errand): string[];
}

const folder = import.meta.dirname;
const script = (name: string, errand: Errand, flags: readonly string[] = []) => [
  process.execPath,
  ...flags,
  join(folder, name),
  ...errandArguments(errand),
];

/** Ours, the floor, the plain way in Node, and with `peers` the programs of others. */
export async function contenders({ peers }: { readonly peers: boolean }): Promise<Contender[]> {
  return [
    { id: 'ours', name: 'udm-sync', command: (errand) => script('ours.ts', errand, nodeFlags) },
    {
      id: 'ours-unsigned',
      name: 'udm-sync, payload as over HTTPS',
      command: (errand) => [...script('ours.ts', errand, nodeFlags), '1', 'usual', 'never'],
    },
    {
      id: 'floor',
      name: 'floor: raw node:http, 4 × 8 MiB',
      command: (errand) => script('floor.ts', errand),
    },
    ...(peers ? [libStorage, await curlAndAws(), await rclone()] : []),
  ];
}

const libStorage: Contender = {
  id: 'lib-storage',
  name: 'got + lib-storage, 4 × 8 MiB',
  command: (errand) => script('lib-storage.ts', errand),
};

async function curlAndAws(): Promise<Contender> {
  const [curl, aws] = [await findProgram('curl'), await findProgram('aws')];
  if (curl === undefined || aws === undefined)
    return absent('curl-aws', 'curl into aws s3 cp', 'curl and aws are not both installed');
  const versions = [await firstLine(curl, ['--version']), await firstLine(aws, ['--version'])];
  const [curlVersion, awsVersion] = versions.map((line) => /[\d.]+\d/.exec(line ?? '')?.[0] ?? '');
  return {
    id: 'curl-aws',
    name: `curl ${curlVersion ?? ''} into aws ${awsVersion ?? ''} s3 cp`,
    command: ({ url, size, endpoint, bucket, key }) => [
      'bash',
      '-c',
      'set -o pipefail; "$1" -sfL "$2" | "$3" s3 cp - "$4" --endpoint-url "$5" --expected-size "$6"',
      'curl-aws',
      ...[curl, url, aws, `s3://${bucket}/${key}`, endpoint, String(size)],
    ],
  };
}

async function rclone(): Promise<Contender> {
  const program = await rcloneProgram();
  if (program === undefined) return absent('rclone', 'rclone copyurl', 'rclone is not installed');
  const version = /[\d.]+\d/.exec((await firstLine(program, ['version'])) ?? '')?.[0] ?? '';
  return {
    id: 'rclone',
    name: `rclone ${version} copyurl, 4 × 8 MiB`,
    command: ({ url, endpoint, bucket, key }) => rcloneCopy(program, endpoint, url, `${bucket}/${key}`),
  };
}

/** Where rclone is; undefined where it is not installed. */
export function rcloneProgram(): Promise<string | undefined> {
  return findProgram('rclone');
}

/** `rclone copyurl` into S3; its keys come from the environment. */
export function rcloneCopy(program: string, endpoint: string, url: string, path: string): string[] {
  return [
    ...[program, 'copyurl', url, `:s3:${path}`, '--config', '', '--s3-env-auth', '--s3-no-check-bucket'],
    ...['--s3-provider', 'Ceph', '--s3-endpoint', endpoint, '--s3-region', 'us-east-1'],
    ...['--s3-chunk-size', '8M', '--s3-upload-concurrency', '4', '--retries', '1'],
  ];
}

function absent(id: Contender['id'], name: string, missing: string): Contender {
  return { id, name, missing, command: () => [] };
}
