import { DiagLogLevel, context, diag } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, RandomIdGenerator } from '@opentelemetry/sdk-trace-base';
import type { Logger } from '../log.ts';
import { takeTraceId, traceWith } from '../tracing.ts';
import type { Traces } from './traces.ts';
import { packageVersion } from './version.ts';

/** How long the end of the process waits for a receiver. */
const lastWordsMs = 5_000;

/** Loads OpenTelemetry's SDK, which reads the OTEL_ variables itself. Loaded only by `startTraces`. */
export function loadTraces(logger: Logger): Traces {
  // What it says may quote addresses and headers of the receiver.
  const troubled = () => logger.debug('OpenTelemetry could not do something');
  const quiet = () => undefined;
  diag.setLogger(
    { error: troubled, warn: troubled, info: quiet, debug: quiet, verbose: quiet },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const random = new RandomIdGenerator();
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': 'udm-sync', 'service.version': packageVersion() }))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
    idGenerator: {
      generateTraceId: () => takeTraceId() ?? random.generateTraceId(),
      generateSpanId: () => random.generateSpanId(),
    },
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  traceWith(provider.getTracer('udm-sync'));
  logger.info('traces are on');
  return {
    async stop() {
      traceWith(undefined);
      const late = new Promise<void>((resolve) => setTimeout(resolve, lastWordsMs).unref());
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
    },
  };
}
