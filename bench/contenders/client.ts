/**
 * What every contender that is a script of ours is given: where the bytes are, and where they go. Nothing is imported
 * here, so that no contender pays for another's libraries.
 */
export interface Errand {
  readonly url: string;
  /** Bytes. */
  readonly size: number;
  readonly endpoint: string;
  readonly bucket: string;
  readonly key: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

/** The errand as arguments, for the command line of a script. The keys travel in the environment, as for every client. */
export function errandArguments(errand: Errand): string[] {
  return [errand.url, String(errand.size), errand.endpoint, errand.bucket, errand.key];
}

/** The errand of this process, and the arguments after it. */
export function readErrand(): { errand: Errand; more: readonly string[] } {
  const [url = '', size = '', endpoint = '', bucket = '', key = '', ...more] = process.argv.slice(2);
  const env = (name: string) => process.env[name] ?? '';
  return {
    errand: {
      url,
      size: Number(size),
      endpoint,
      bucket,
      key,
      accessKeyId: env('AWS_ACCESS_KEY_ID'),
      secretAccessKey: env('AWS_SECRET_ACCESS_KEY'),
      region: env('AWS_REGION'),
    },
    more,
  };
}

/** Says what starting had cost, as the only line on stdout. Call it right before the first request. */
export function reportReady(): void {
  const { user, system } = process.cpuUsage();
  console.log(JSON.stringify({ startCpuSeconds: (user + system) / 1e6 }));
}
