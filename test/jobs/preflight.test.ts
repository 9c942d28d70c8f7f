import { expect, test, onTestFinished } from 'vitest';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { checkSink } from '../../src/jobs/preflight.ts';
import { createS3Sink } from '../../src/sinks/s3.ts';
import { startRecordingProxy } from '../sinks/recording-proxy.ts';
import { optionsFor, plainClient } from '../sinks/s3-harness.ts';
import { startS3Server } from '../support/s3.ts';

test('the object that proves the permissions goes even if every answer to its upload is lost', async () => {
  const server = await startS3Server();
  const bucket = await server.createBucket();
  const proxy = await startRecordingProxy(server.endpoint);
  const sink = createS3Sink('lake', optionsFor(server, bucket, proxy.endpoint));
  const client = plainClient(server);
  onTestFinished(async () => {
    sink.close();
    client.destroy();
    await proxy.stop();
    await server.stop();
  });
  proxy.intervene = ({ operation }) => (operation === 'PutObject' ? { loseAnswer: true } : undefined);
  await expect(checkSink(sink)).rejects.toMatchObject({ code: 'ERR_SINK_UNAVAILABLE' });
  expect(proxy.of('PutObject').length).toBeGreaterThan(0);
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  expect(Contents).toBeUndefined();
});
