import { UsageError } from '../errors.ts';
import type { Logger } from '../log.ts';

/** Traces that are on; see `startTraces`. */
export interface Traces {
  /** Sends what has not been sent yet. */
  stop(): Promise<void>;
}

/** Whether the standard variables ask for traces. */
export function tracesWanted(env: NodeJS.ProcessEnv): boolean {
  const { OTEL_SDK_DISABLED: disabled, OTEL_TRACES_EXPORTER: exporter } = env;
  if (disabled?.trim().toLowerCase() === 'true' || exporter?.trim() === 'none') return false;
  return [exporter, env['OTEL_EXPORTER_OTLP_ENDPOINT'], env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']].some(
    Boolean,
  );
}

/**
 * Turns traces on where the environment asks for them; otherwise nothing of OpenTelemetry but its API is loaded.
 *
 * @throws UsageError for an exporter or protocol that is not ours
 */
export async function startTraces(env: NodeJS.ProcessEnv, logger: Logger): Promise<Traces> {
  if (!tracesWanted(env)) return { stop: () => Promise.resolve() };
  only(env, 'OTEL_TRACES_EXPORTER', 'otlp');
  only(env, 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'http/json');
  if (!env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL']) only(env, 'OTEL_EXPORTER_OTLP_PROTOCOL', 'http/json');
  const { loadTraces } = await import('./traces-sdk.ts');
  return loadTraces(logger);
}

function only(env: NodeJS.ProcessEnv, name: string, allowed: string): void {
  const value = env[name];
  if (value !== undefined && value !== '' && value !== allowed)
    throw new UsageError(`${name} is ${JSON.stringify(value)}; udm-sync knows ${allowed} (docs/traces.md).`);
}
