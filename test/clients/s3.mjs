// Lists the archive's segments with the AWS SDK and reads each whole.
import { createHash } from 'node:crypto';
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { print, up } from './up.mjs';

const { s3 } = up;
const client = new S3Client({
  endpoint: s3.endpoint,
  region: s3.region,
  forcePathStyle: true,
  credentials: { accessKeyId: s3.access_key, secretAccessKey: s3.secret_key },
});
const prefix = `${s3.prefix ? `${s3.prefix}/` : ''}data/`;
const objects = {};
let token;
do {
  const page = await client.send(new ListObjectsV2Command({
    Bucket: s3.bucket, Prefix: prefix, MaxKeys: 5, ContinuationToken: token,
  }));
  for (const { Key } of page.Contents ?? []) {
    const answer = await client.send(new GetObjectCommand({ Bucket: s3.bucket, Key }));
    const bytes = await answer.Body.transformToByteArray();
    const magic = Buffer.from(bytes.slice(0, 4)).toString() + Buffer.from(bytes.slice(-4)).toString();
    objects[Key] = { sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length, magic };
  }
  token = page.NextContinuationToken;
} while (token);
let refused = '';
try {
  const stranger = new S3Client({
    endpoint: s3.endpoint, region: s3.region, forcePathStyle: true,
    credentials: { accessKeyId: s3.access_key, secretAccessKey: 'wrong' },
  });
  await stranger.send(new ListObjectsV2Command({ Bucket: s3.bucket }));
} catch (error) {
  refused = error.name;
}
print({ objects, refused });
