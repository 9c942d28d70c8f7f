import { cephInstalled, startS3Server } from '../support/s3.ts';
import { describeSink } from './conformance.ts';
import { s3Harness } from './s3-harness.ts';

describeSink('S3 on fauxqs', async () => s3Harness(await startS3Server('fauxqs')));

if (cephInstalled()) describeSink('S3 on Ceph RGW', async () => s3Harness(await startS3Server('ceph')));
