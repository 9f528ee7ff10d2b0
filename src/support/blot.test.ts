import { randomBytes } from 'node:crypto';
import test from 'ava';
import { blotted } from './blot.ts';

const SECRET = 'V3ry-s3cret_value';
const jwt = `eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.${Buffer.from('{"sub":"system"}').toString('base64url')}.c2lnbmF0dXJl`;
const pem = `-----BEGIN RSA PRIVATE KEY-----\n${randomBytes(96).toString('base64')}\n-----END RSA PRIVATE KEY-----`;

/** [what it is, the text, what of it must be gone] */
const leaks: readonly (readonly [string, string, string])[] = [
  ['a flag', `bpfsvc run --token=${SECRET} --node n1`, SECRET],
  ['a flag and its word', `bpfsvc run --api-token ${SECRET} --node n1`, SECRET],
  ['a URL', `--master https://admin:${SECRET}@10.0.0.1:6443/`, SECRET],
  ['a header', `authorization: Bearer ${SECRET}`, SECRET],
  ['basic authentication', `Basic ${SECRET}`, SECRET],
  ['YAML', `users:\n- user:\n    token: ${SECRET}\n`, SECRET],
  ['YAML with quotes', `password: "two ${SECRET} words"`, SECRET],
  ['JSON', `{"user":{"client-key-data":"${SECRET}"}}`, SECRET],
  ['an environment', `AWS_SECRET_ACCESS_KEY=${SECRET}`, SECRET],
  ['what kubectl apply keeps', `kubectl.kubernetes.io/last-applied-configuration: {"a":"${SECRET}"}`, SECRET],
  [
    'the same in JSON',
    JSON.stringify({ 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ a: SECRET }), b: 1 }),
    SECRET,
  ],
  ['a service account token alone', `error: ${jwt} was refused`, jwt],
  ['a key', pem, pem.split('\n')[1] as string],
  ['a key within JSON', JSON.stringify({ data: pem }), pem.split('\n')[1] as string],
  ['a key whose end is cut off', pem.slice(0, 100), pem.slice(40, 100)],
];

for (const [what, text, secret] of leaks) {
  test(`no credential leaves: ${what}`, (t) => {
    const left = blotted(text);
    t.false(left.includes(secret), left);
    t.regex(left, /<blotted out>/);
  });
}

test('what is no credential stays', (t) => {
  const plain = [
    'default/web:http 10.96.0.1:80/TCP → 10.1.0.7:8080',
    '[fd00:10:96::1]:80',
    'net.ipv4.ip_forward = 1',
    'http://127.0.0.1:10249/metrics',
    'bpfsvc_connections_total{namespace="default",service="keys"} 7',
  ].join('\n');
  t.is(blotted(plain), plain);
  t.is(blotted('{"token":"abc","node":"n1"}'), '{"token":<blotted out>,"node":"n1"}');
});
