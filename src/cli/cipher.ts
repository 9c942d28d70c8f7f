import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Config } from '../config/config.ts';
import { nearest } from '../config/did-you-mean.ts';
import { UsageError, describeError } from '../errors.ts';
import { openUpstream } from '../jobs/outside.ts';
import { printable } from '../printable.ts';
import { exitCodes } from './exit-codes.ts';
import { print, printJson, utc } from './output.ts';
import { openConfig } from './open-config.ts';
import type { GlobalOptions } from './open-config.ts';

/** `udm-sync cipher show [tenant]`: the certificate the upstream encrypts for. */
export async function cipherShowCommand(tenant: string | undefined, options: GlobalOptions): Promise<number> {
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const upstream = openUpstream(config, tenantNamed(config, tenant), logger);
  try {
    const certificate = await upstream.getCipher();
    if (options.json) printJson(certificate ?? null);
    else if (certificate)
      print(
        printable(
          `${certificate.name ?? '(no name)'}, ${certificate.size ?? '?'} bytes, uploaded ${utc(certificate.lastModified)}, contact centre ${certificate.ccid ?? '-'}`,
        ),
      );
    else print('No certificate has been uploaded. Upload one with: udm-sync cipher upload <certificate.pem>');
    return certificate ? exitCodes.done : exitCodes.failed;
  } finally {
    upstream.close();
  }
}

/** `udm-sync cipher upload <file> [tenant]`: checked here first, since a wrong one makes every export unreadable. */
export async function cipherUploadCommand(
  file: string,
  tenant: string | undefined,
  options: GlobalOptions,
): Promise<number> {
  const content = await readCertificate(file);
  const { config, logger } = await openConfig(options, { to: 2, level: 'error' });
  const upstream = openUpstream(config, tenantNamed(config, tenant), logger);
  try {
    await upstream.uploadCipher(basename(file), content);
    if (options.json) printJson({ uploaded: basename(file) });
    else
      print(`Uploaded ${basename(file)}. Exports made from now on can be opened with its private key only.`);
    return exitCodes.done;
  } finally {
    upstream.close();
  }
}

async function readCertificate(file: string): Promise<Uint8Array> {
  let content: Buffer;
  try {
    content = await readFile(file);
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${describeError(error)}.`);
  }
  if (content.includes('PRIVATE KEY'))
    throw new UsageError(
      `${file} holds a private key. Upload the certificate alone, and keep the key to yourself.`,
    );
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(content);
  } catch (error) {
    throw new UsageError(`${file} is not an X.509 certificate (PEM or DER): ${describeError(error)}.`);
  }
  const type = certificate.publicKey.asymmetricKeyType;
  if (type !== 'rsa')
    throw new UsageError(`${file} is a certificate for a ${type ?? 'unknown'} key; UDM needs RSA.`);
  if (certificate.validToDate < new Date())
    throw new UsageError(`${file} expired on ${utc(certificate.validToDate)}.`);
  return content;
}

function tenantNamed(config: Config, name: string | undefined): string {
  const names = Object.keys(config.tenants);
  const [only] = names;
  if (name === undefined) {
    if (names.length === 1 && only !== undefined) return only;
    throw new UsageError(`The config has ${names.length} tenants; name one of: ${names.join(', ')}.`);
  }
  if (Object.hasOwn(config.tenants, name)) return name;
  const near = nearest(name, names);
  throw new UsageError(
    `There is no tenant "${name}"${near === undefined ? '.' : `; did you mean "${near}"?`} The config has: ${names.join(', ')}.`,
  );
}
