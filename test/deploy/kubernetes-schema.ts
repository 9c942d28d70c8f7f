import { validate as configMap } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ConfigMap';
import { validate as cronJob } from 'kubernetes-models/_schemas/IoK8sApiBatchV1CronJob';
import { validate as deployment } from 'kubernetes-models/_schemas/IoK8sApiAppsV1Deployment';
import { validate as job } from 'kubernetes-models/_schemas/IoK8sApiBatchV1Job';
import { validate as namespace } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Namespace';
import { validate as networkPolicy } from 'kubernetes-models/_schemas/IoK8sApiNetworkingV1NetworkPolicy';
import { validate as podDisruptionBudget } from 'kubernetes-models/_schemas/IoK8sApiPolicyV1PodDisruptionBudget';
import { validate as secret } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Secret';
import { validate as serviceAccount } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ServiceAccount';
import { z } from 'zod';
import type { Manifest } from './kustomize.ts';

/** Validators that the package compiled with ajv from the OpenAPI schemas of Kubernetes. */
const validators: Record<string, typeof deployment> = {
  'apps/v1 Deployment': deployment,
  'batch/v1 CronJob': cronJob,
  'batch/v1 Job': job,
  'networking.k8s.io/v1 NetworkPolicy': networkPolicy,
  'policy/v1 PodDisruptionBudget': podDisruptionBudget,
  'v1 ConfigMap': configMap,
  'v1 Namespace': namespace,
  'v1 Secret': secret,
  'v1 ServiceAccount': serviceAccount,
};

/** ajv leaves what it found on the function itself. */
const ajvErrors = z
  .array(z.object({ instancePath: z.string(), keyword: z.string(), params: z.unknown() }))
  .nullish();

/**
 * What is wrong with a manifest: values of the wrong type or form, missing fields, and fields that Kubernetes does
 * not know (which the API server would drop without a word). Each as `/path: what`.
 */
export function schemaMistakes(manifest: Manifest): string[] {
  const validate = validators[`${manifest.apiVersion} ${manifest.kind}`];
  if (validate === undefined) return [`/: ${manifest.apiVersion} ${manifest.kind} is not a known kind`];
  const unread = new Set<string>();
  validate(watched(manifest, '', unread));
  const unknown = [...unread].map((path) => `${path}: unknown field`);
  const wrong = (ajvErrors.parse(Reflect.get(validate, 'errors')) ?? []).map(
    (e) => `${e.instancePath}: ${e.keyword} ${JSON.stringify(e.params)}`,
  );
  return [...wrong, ...unknown];
}

/**
 * Keeps in `unread` the path of every field that nobody has looked at. The compiled schemas let unknown fields pass,
 * but they read exactly the fields they know: what is left unread after a validation is unknown.
 */
function watched(value: unknown, path: string, unread: Set<string>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (!Array.isArray(value)) for (const key of Object.keys(value)) unread.add(`${path}/${key}`);
  const children = new Map<PropertyKey, unknown>();
  return new Proxy(value, {
    get(target, key) {
      const child: unknown = Reflect.get(target, key);
      if (typeof key === 'symbol' || !Object.hasOwn(target, key)) return child;
      unread.delete(`${path}/${key}`);
      if (!children.has(key)) children.set(key, watched(child, `${path}/${key}`, unread));
      return children.get(key);
    },
  });
}
