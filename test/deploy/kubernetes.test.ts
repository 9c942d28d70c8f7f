import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ms from 'ms';
import { validate as isCron } from 'node-cron';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Document, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { loadConfig } from '../../src/config/load.ts';
import { schemaMistakes } from './kubernetes-schema.ts';
import { manifestSchema, readManifests, renderKustomization } from './kustomize.ts';
import type { Manifest } from './kustomize.ts';
import { podTemplate } from './pods.ts';
import type { Container, PodTemplate } from './pods.ts';

const root = fileURLToPath(new URL('../../deploy/kubernetes/', import.meta.url));
const folders = ['worker', 'cronjob', 'migrate', 'backfill'] as const;
type Folder = (typeof folders)[number];

/** The CLI's commands that manifests may use. */
const commands = ['worker', 'run', 'backfill', 'migrate'];

const manifests = (folder: Folder) => renderKustomization(join(root, folder));
const secret = the('Secret', readManifests(join(root, 'secret.example.yaml')));

const secretData = z.object({ stringData: z.record(z.string(), z.string()) }).parse(secret).stringData;

function configData(folder: Folder): Record<string, string> {
  const configMap = the('ConfigMap', manifests(folder));
  return z.object({ data: z.record(z.string(), z.string()) }).parse(configMap).data;
}

function the(kind: string, among: readonly Manifest[]): Manifest {
  const [found, second] = among.filter((m) => m.kind === kind);
  if (found === undefined || second !== undefined) throw new Error(`expected one ${kind}`);
  return found;
}

/** The one pod template of a folder. */
function pod(folder: Folder): PodTemplate {
  const [found, second] = manifests(folder).flatMap((m) => podTemplate(m) ?? []);
  if (found === undefined || second !== undefined) throw new Error(`expected one workload in ${folder}`);
  return found;
}

function container(folder: Folder): Container {
  const [found, second] = [...pod(folder).spec.initContainers, ...pod(folder).spec.containers];
  if (found === undefined || second !== undefined) throw new Error(`expected one container in ${folder}`);
  return found;
}

/** A copy with one field set, its path written with dots. */
function withField(manifest: Manifest, path: string, value: unknown): Manifest {
  const document = new Document(manifest);
  document.setIn(
    path.split('.').map((key) => (/^\d+$/.test(key) ? Number(key) : key)),
    value,
  );
  return manifestSchema.parse(document.toJS());
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'udm-sync-deploy-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** The configuration as a pod would read it, with the example Secret in a folder of this machine. */
async function podConfig() {
  const folder = temporaryFolder();
  for (const [key, value] of Object.entries(secretData)) writeFileSync(join(folder, key), value);
  const text = Object.values(configData('worker')).join('').replaceAll('/run/secrets/udm-sync', folder);
  return loadConfig({ path: 'udm-sync.yaml', text, env: {} });
}

describe('schemas', () => {
  it.each(folders)('%s renders to manifests that Kubernetes knows to the last field', (folder) => {
    for (const manifest of manifests(folder)) expect(schemaMistakes(manifest), manifest.kind).toEqual([]);
  });

  it('knows the namespace and the example Secret too', () => {
    const extra = [secret, ...readManifests(join(root, 'namespace.yaml'))];
    for (const manifest of extra) expect(schemaMistakes(manifest), manifest.kind).toEqual([]);
  });

  const inPod = 'spec.template.spec.containers.0';
  it.each([
    ['a misspelt field', 'spec.replica', 2, '/spec/replica: unknown field'],
    ['a field in the wrong place', 'restartPolicy', 'Always', '/restartPolicy: unknown field'],
    ['a misspelt field deep inside', `${inPod}.imagePullPolice`, 'Always', '/imagePullPolice: unknown field'],
    ['a misspelt probe field', `${inPod}.livenessProbe.httpGet.pth`, '/x', '/httpGet/pth: unknown field'],
    ['a string for a number', 'spec.replicas', '2', '/spec/replicas: type'],
    ['a string for a list', `${inPod}.args`, 'worker', '/args: type'],
    ['a word that is not allowed', 'spec.strategy.type', 'Rolling', '/spec/strategy/type: enum'],
    ['a size that is none', `${inPod}.resources.limits.memory`, '1 gig', '/limits/memory: format'],
    ['a number in a label', 'metadata.labels.tier', 1, '/metadata/labels/tier: type'],
  ])('reports %s', (_what, path, value, mistake) => {
    const deployment = the('Deployment', manifests('worker'));
    expect(schemaMistakes(deployment)).toEqual([]);
    expect(schemaMistakes(withField(deployment, path, value)).join('\n')).toContain(mistake);
  });

  it('reports a missing field and an unknown kind', () => {
    const deployment = the('Deployment', manifests('worker'));
    expect(schemaMistakes(withField(deployment, 'spec.selector', undefined)).join()).toContain('selector');
    expect(schemaMistakes(withField(deployment, 'apiVersion', 'apps/v1beta1'))).toHaveLength(1);
  });
});

describe('rendering', () => {
  const kubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
  it.runIf(kubectl).each(folders)('%s is what kubectl makes of it', (folder) => {
    const output = execFileSync('kubectl', ['kustomize', join(root, folder)], { encoding: 'utf8' });
    const theirs = parseAllDocuments(output).map((d) => manifestSchema.parse(d.toJS()));
    const byKind = (list: Manifest[]) => Object.fromEntries(list.map((m) => [m.kind, m]));
    expect(byKind(manifests(folder))).toEqual(byKind(theirs));
  });

  it('gives a changed config a new name, and every reference with it', () => {
    const copy = temporaryFolder();
    cpSync(root, copy, { recursive: true });
    appendFileSync(join(copy, 'common/udm-sync.yaml'), '# changed\n');
    const changed = renderKustomization(join(copy, 'worker'));
    const name = the('ConfigMap', changed).metadata.name;
    expect(name).not.toBe(the('ConfigMap', manifests('worker')).metadata.name);
    expect(changed.flatMap((m) => podTemplate(m) ?? [])[0]?.spec.volumes).toContainEqual({
      name: 'config',
      configMap: { name },
    });
  });

  it('sets namespace and image in one place for all', () => {
    for (const folder of folders) {
      for (const manifest of manifests(folder)) expect(manifest.metadata.namespace).toBe('udm-sync');
      expect(container(folder).image).toBe('udm-sync:0.1.0');
    }
  });
});

describe('the settings', () => {
  it('load as they are, with every secret from the Secret', async () => {
    const config = await podConfig();
    expect(config.database.url).toBe(secretData['database-url']);
    expect(config.tenants['acme']).toMatchObject({
      apiKey: secretData['udm-api-key'],
      auth: { clientSecret: secretData['udm-client-secret'], password: secretData['udm-password'] },
    });
  });

  it('leave the schema to the migrate Job', async () => {
    expect((await podConfig()).database.migrate).toBe(false);
  });

  it.each(folders)('let %s finish before it is killed', async (folder) => {
    const { shutdownGraceMs } = (await podConfig()).worker;
    expect(shutdownGraceMs).toBeLessThan(pod(folder).spec.terminationGracePeriodSeconds * 1000);
  });

  it('have the definition of the example back-fill, whose dates lie in order', async () => {
    const [, definition, , from, , to] = container('backfill').args;
    expect(container('backfill').args.map((a) => a.startsWith('--'))).toEqual([
      false,
      false,
      true,
      false,
      true,
      false,
    ]);
    expect(Object.keys((await podConfig()).definitions)).toContain(definition);
    expect(Date.parse(from ?? '')).toBeLessThan(Date.parse(to ?? ''));
  });
});

describe.each(folders)('%s', (folder) => {
  it('refers only to what is there', () => {
    const names = (kind: string) =>
      manifests(folder).flatMap((m) => (m.kind === kind ? [m.metadata.name] : []));
    const { spec } = pod(folder);
    expect(names('ServiceAccount')).toContain(spec.serviceAccountName);
    for (const volume of spec.volumes) {
      if (volume.configMap) expect(names('ConfigMap')).toContain(volume.configMap.name);
      if (volume.secret) expect(secret.metadata.name).toBe(volume.secret.secretName);
    }
    const volumes = spec.volumes.map((v) => v.name);
    expect(container(folder).volumeMounts.map((m) => m.name)).toEqual(volumes);
    expect(secret.metadata.namespace).toBe(the('ServiceAccount', manifests(folder)).metadata.namespace);
  });

  it('is covered by the network policy, which lets in scrapes of the metrics alone', async () => {
    const policy = z
      .object({
        spec: z.object({
          podSelector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
          policyTypes: z.array(z.string()),
          ingress: z.array(
            z.strictObject({
              from: z.array(z.strictObject({ namespaceSelector: z.object({ matchLabels: z.unknown() }) })),
              ports: z.array(z.object({ protocol: z.literal('TCP'), port: z.number() })),
            }),
          ),
          egress: z.array(z.object({ ports: z.array(z.object({ port: z.number() })).min(1) })),
        }),
      })
      .parse(the('NetworkPolicy', manifests(folder))).spec;
    expect(pod(folder).metadata.labels).toMatchObject(policy.podSelector.matchLabels);
    expect(policy.policyTypes).toEqual(['Ingress', 'Egress']);
    const { port } = (await podConfig()).metrics;
    expect(policy.ingress).toEqual([
      {
        from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': expect.any(String) } } }],
        ports: [{ protocol: 'TCP', port }],
      },
    ]);
    expect(new Set(policy.egress.flatMap((rule) => rule.ports.map((p) => p.port)))).toEqual(
      new Set([53, 5432, 443]),
    );
  });

  it('finds its settings where the ConfigMap is mounted, and has nothing else in its environment', () => {
    const mount = container(folder).volumeMounts.find((m) => m.name === 'config')?.mountPath;
    const [file] = Object.keys(configData(folder));
    expect(container(folder).env).toEqual([
      { name: 'UDM_SYNC_CONFIG', value: `${mount ?? ''}/${file ?? ''}` },
    ]);
  });

  it('mounts the Secret where the settings look for it', () => {
    const mount = container(folder).volumeMounts.find((m) => m.name === 'secrets')?.mountPath;
    const files = [
      ...Object.values(configData(folder))
        .join()
        .matchAll(/File: (.+)\/(.+)/g),
    ];
    expect(new Set(files.map(([, directory]) => directory))).toEqual(new Set([mount]));
    expect(files.map(([, , key]) => key).sort()).toEqual(Object.keys(secretData).sort());
  });

  it('runs with no privilege, no writable root and bounded memory', () => {
    const { spec } = pod(folder);
    expect(spec.automountServiceAccountToken).toBe(false);
    expect(spec.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 10001,
      runAsGroup: 10001,
      fsGroup: 10001,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(container(folder).securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(container(folder).resources.limits.memory).toBe('1Gi');
    const writable = container(folder).volumeMounts.filter((m) => m.readOnly !== true);
    expect(writable.map((m) => m.mountPath)).toEqual(['/tmp']);
    expect(spec.volumes.find((v) => v.name === writable[0]?.name)?.emptyDir).toBeDefined();
  });

  it('differs from the worker only in what it does', () => {
    const { args: _, ...mine } = container(folder);
    if (folder !== 'worker')
      for (const name of ['startupProbe', 'livenessProbe', 'readinessProbe', 'ports'])
        expect(mine).not.toHaveProperty(name);
    expect(container('worker')).toMatchObject(mine);
    expect(pod(folder).spec.volumes).toEqual(pod('worker').spec.volumes);
  });

  it('calls a command that exists', () => {
    expect(commands).toContain(container(folder).args[0]);
  });
});

describe('the worker', () => {
  it('has probes that allow a heartbeat to age before they act', () => {
    const { startupProbe, livenessProbe, readinessProbe } = container('worker');
    expect(startupProbe?.httpGet).toEqual({ path: '/healthz', port: 'metrics' });
    expect(livenessProbe?.httpGet).toEqual(startupProbe?.httpGet);
    expect(readinessProbe?.httpGet).toEqual({ path: '/readyz', port: 'metrics' });
    // A worker takes up to half a minute to find Postgres, and longer to bring a schema up to date.
    expect((startupProbe?.periodSeconds ?? 0) * (startupProbe?.failureThreshold ?? 0)).toBeGreaterThan(120);
    for (const probe of [livenessProbe, readinessProbe])
      expect(probe?.timeoutSeconds).toBeLessThan(probe?.periodSeconds ?? 0);
    // /readyz itself waits 4 s for what it asks.
    expect(readinessProbe?.timeoutSeconds).toBeGreaterThan(4);
  });

  it('serves its metrics where the settings, the annotations and the image say', async () => {
    const { port, host } = (await podConfig()).metrics;
    expect(host).toBe('0.0.0.0');
    expect(container('worker').ports).toEqual([{ name: 'metrics', containerPort: port }]);
    expect(pod('worker').metadata.annotations).toEqual({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': String(port),
      'prometheus.io/path': '/metrics',
    });
    expect(readFileSync(join(root, '../../Dockerfile'), 'utf8')).toContain(`\nEXPOSE ${port}\n`);
  });

  it('is what the disruption budget guards', () => {
    const budget = z
      .object({
        spec: z.object({
          maxUnavailable: z.literal(1),
          selector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
        }),
      })
      .parse(the('PodDisruptionBudget', manifests('worker'))).spec;
    expect(pod('worker').metadata.labels).toMatchObject(budget.selector.matchLabels);
    for (const other of ['cronjob', 'migrate', 'backfill'] as const)
      expect(pod(other).metadata.labels).not.toMatchObject(budget.selector.matchLabels);
  });
});

describe('the CronJob', () => {
  const spec = z
    .object({
      spec: z.object({
        schedule: z.string(),
        timeZone: z.literal('Etc/UTC'),
        concurrencyPolicy: z.literal('Forbid'),
        startingDeadlineSeconds: z.number(),
        jobTemplate: z.object({
          spec: z.object({ activeDeadlineSeconds: z.number(), backoffLimit: z.number() }),
        }),
      }),
    })
    .parse(the('CronJob', manifests('cronjob'))).spec;

  it('ends by its own time-out before Kubernetes ends it', () => {
    const { args } = container('cronjob');
    const timeout = ms(z.templateLiteral([z.number(), 'm']).parse(args[args.indexOf('--timeout') + 1]));
    const grace = pod('cronjob').spec.terminationGracePeriodSeconds * 1000;
    expect(timeout + grace).toBeLessThan(spec.jobTemplate.spec.activeDeadlineSeconds * 1000);
  });

  it('has a schedule that fires', () => {
    expect(isCron(spec.schedule)).toBe(true);
  });
});
