import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';

/**
 * Renders the few features of kustomize that deploy/kubernetes uses, so that its test needs no binary: no npm or
 * Debian package ships a usable one. Anything else in a kustomization is refused. Where `kubectl` is installed, the
 * test compares this with `kubectl kustomize`.
 */
export const manifestSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
});
export type Manifest = z.infer<typeof manifestSchema>;

const kustomizationSchema = z.strictObject({
  apiVersion: z.enum(['kustomize.config.k8s.io/v1beta1', 'kustomize.config.k8s.io/v1alpha1']),
  kind: z.enum(['Kustomization', 'Component']),
  namespace: z.string().optional(),
  images: z
    .array(z.strictObject({ name: z.string(), newName: z.string().optional(), newTag: z.string() }))
    .default([]),
  resources: z.array(z.string()).default([]),
  components: z.array(z.string()).default([]),
  configMapGenerator: z.array(z.strictObject({ name: z.string(), files: z.array(z.string()) })).default([]),
});
type Image = z.infer<typeof kustomizationSchema>['images'][number];

/** The manifests of one folder with a kustomization.yaml, as `kustomize build` would print them, in no set order. */
export function renderKustomization(directory: string): Manifest[] {
  const { manifests, generated } = accumulate(directory, [], new Set());
  const names = new Map(
    manifests
      .filter((m) => m.kind === 'ConfigMap' && generated.has(m.metadata.name))
      .map((m) => [m.metadata.name, `${m.metadata.name}-${contentHash(m)}`] as const),
  );
  return manifests.map((m) => {
    const renamed = m.kind === 'ConfigMap' ? names.get(m.metadata.name) : undefined;
    return renamed === undefined
      ? manifestSchema.parse(
          rewrite(m, (key, value, parent) => configMapReference(key, value, parent, names)),
        )
      : { ...m, metadata: { ...m.metadata, name: renamed } };
  });
}

interface Accumulated {
  readonly manifests: Manifest[];
  readonly generated: Set<string>;
}

/** A component continues with what its includer has gathered so far, so its transformers reach that too. */
function accumulate(directory: string, inherited: Manifest[], generated: Set<string>): Accumulated {
  const kustomization = kustomizationSchema.parse(
    parse(readFileSync(join(directory, 'kustomization.yaml'), 'utf8')),
  );
  let manifests = [...inherited];
  for (const resource of kustomization.resources) {
    const path = join(directory, resource);
    if (statSync(path).isDirectory()) manifests.push(...accumulate(path, [], generated).manifests);
    else manifests.push(...readManifests(path));
  }
  for (const component of kustomization.components)
    manifests = accumulate(join(directory, component), manifests, generated).manifests;
  for (const { name, files } of kustomization.configMapGenerator) {
    generated.add(name);
    const data = Object.fromEntries(
      files.map((file) => [basename(file), readFileSync(join(directory, file), 'utf8')]),
    );
    manifests.push({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data });
  }
  const { namespace, images } = kustomization;
  return {
    generated,
    manifests: manifests.map((m) => {
      const tagged = manifestSchema.parse(rewrite(m, (key, value) => taggedImage(key, value, images)));
      return namespace === undefined ? tagged : { ...tagged, metadata: { ...tagged.metadata, namespace } };
    }),
  };
}

/** Every document of a YAML file. */
export function readManifests(path: string): Manifest[] {
  if (!existsSync(path)) throw new Error(`${path} is named by a kustomization and does not exist`);
  return parseAllDocuments(readFileSync(path, 'utf8')).map((document) =>
    manifestSchema.parse(document.toJS()),
  );
}

/** A copy of a JSON value in which `change` has replaced the strings it answers for. */
function rewrite(
  value: unknown,
  change: (key: string, value: string, parent: string) => string | undefined,
  key = '',
  parent = '',
): unknown {
  if (typeof value === 'string') return change(key, value, parent) ?? value;
  if (Array.isArray(value)) return value.map((item) => rewrite(item, change, key, parent));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, rewrite(v, change, k, key)]));
}

function taggedImage(key: string, value: string, images: readonly Image[]): string | undefined {
  const image = key === 'image' ? images.find(({ name }) => name === value) : undefined;
  return image && `${image.newName ?? image.name}:${image.newTag}`;
}

function configMapReference(key: string, value: string, parent: string, names: ReadonlyMap<string, string>) {
  return key === 'name' && ['configMap', 'configMapRef', 'configMapKeyRef'].includes(parent)
    ? names.get(value)
    : undefined;
}

/** kustomize's suffix: SHA-256 of the sorted JSON as Go writes it (and of an empty name), ten digits, re-lettered. */
function contentHash(configMap: Manifest): string {
  const data = z.record(z.string(), z.string()).parse(configMap['data']);
  const sorted = Object.fromEntries(Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1)));
  const json = JSON.stringify({ data: sorted, kind: 'ConfigMap', name: '' }).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const hex = createHash('sha256').update(json).digest('hex').slice(0, 10);
  const replaced: Record<string, string> = { 0: 'g', 1: 'h', 3: 'k', a: 'm', e: 't' };
  return hex.replace(/[013ae]/g, (digit) => replaced[digit] ?? digit);
}
