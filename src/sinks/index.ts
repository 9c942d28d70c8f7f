import { createFilesystemSink } from './filesystem.ts';
import type { FilesystemSinkOptions } from './filesystem.ts';
import { createS3Sink } from './s3.ts';
import type { S3SinkDeps, S3SinkOptions } from './s3.ts';
import type { Sink } from './sink.ts';

export { SinkError } from './errors.ts';
export type { SinkErrorCode } from './errors.ts';
export { checkKey } from './key.ts';
export type {
  ObjectInfo,
  PutOptions,
  PutResult,
  Sink,
  StillNeeded,
  SweepOptions,
  SweepResult,
} from './sink.ts';
export { proveStored } from './verify.ts';
export type { Expected, Proof } from './verify.ts';

export type SinkConfig =
  ({ readonly type: 's3' } & S3SinkOptions) | ({ readonly type: 'filesystem' } & FilesystemSinkOptions);

/** The sink of a configuration. Nothing is contacted until it is used. */
export function createSink(name: string, config: SinkConfig, deps: S3SinkDeps = {}): Sink {
  switch (config.type) {
    case 's3':
      return createS3Sink(name, config, deps);
    case 'filesystem':
      return createFilesystemSink(name, config);
  }
}
