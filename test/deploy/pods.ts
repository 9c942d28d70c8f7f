import { z } from 'zod';
import type { Manifest } from './kustomize.ts';

/** The part of a pod that the tests judge. Parsing it is itself a test: nothing here is optional by chance. */
const probe = z.object({
  httpGet: z.object({ path: z.string(), port: z.string() }),
  periodSeconds: z.number(),
  timeoutSeconds: z.number(),
  failureThreshold: z.number(),
});

const container = z.object({
  name: z.string(),
  image: z.string(),
  args: z.array(z.string()),
  env: z.array(z.object({ name: z.string(), value: z.string() })),
  startupProbe: probe.optional(),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  ports: z.array(z.object({ name: z.string(), containerPort: z.number() })).optional(),
  resources: z.object({
    requests: z.object({ cpu: z.string(), memory: z.string() }),
    limits: z.object({ memory: z.string() }),
  }),
  securityContext: z.unknown(),
  volumeMounts: z.array(
    z.object({ name: z.string(), mountPath: z.string(), readOnly: z.boolean().optional() }),
  ),
});
export type Container = z.infer<typeof container>;

const podSpec = z.object({
  serviceAccountName: z.string(),
  automountServiceAccountToken: z.boolean(),
  terminationGracePeriodSeconds: z.number(),
  restartPolicy: z.string().optional(),
  securityContext: z.unknown(),
  containers: z.array(container).min(1),
  initContainers: z.array(container).default([]),
  volumes: z.array(
    z.object({
      name: z.string(),
      configMap: z.object({ name: z.string() }).optional(),
      secret: z.object({ secretName: z.string() }).optional(),
      emptyDir: z.object({ sizeLimit: z.string() }).optional(),
    }),
  ),
});
export type PodSpec = z.infer<typeof podSpec>;

const template = z.object({
  metadata: z.object({
    labels: z.record(z.string(), z.string()),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
  spec: podSpec,
});
export type PodTemplate = z.infer<typeof template>;

const workload = z.object({ spec: z.object({ template }) });
const cronJob = z.object({ spec: z.object({ jobTemplate: workload }) });

/** The pod template of a workload; undefined for the kinds that start no pod. */
export function podTemplate(manifest: Manifest): PodTemplate | undefined {
  if (manifest.kind === 'CronJob') return cronJob.parse(manifest).spec.jobTemplate.spec.template;
  if (['Deployment', 'Job'].includes(manifest.kind)) return workload.parse(manifest).spec.template;
  return undefined;
}
