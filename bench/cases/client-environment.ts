import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Errand } from '../contenders/client.ts';

/**
 * All that a client finds in its environment: its keys, and none of this machine's settings (proxies, certificates,
 * config files). Node keeps compiled scripts, which stands for a build: nobody is measured stripping types.
 */
export function clientEnvironment(
  errand: Pick<Errand, 'accessKeyId' | 'secretAccessKey' | 'region'>,
): Record<string, string> {
  const nowhere = join(tmpdir(), 'udm-sync-bench-no-home');
  return {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    HOME: nowhere,
    LANG: 'C.UTF-8',
    AWS_ACCESS_KEY_ID: errand.accessKeyId,
    AWS_SECRET_ACCESS_KEY: errand.secretAccessKey,
    AWS_REGION: errand.region,
    AWS_DEFAULT_REGION: errand.region,
    AWS_EC2_METADATA_DISABLED: 'true',
    NODE_COMPILE_CACHE: join(tmpdir(), 'udm-sync-bench-compile-cache'),
  };
}
