/** Certificates of a throw-away cluster. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Pki {
  /** Makes NAME.crt and NAME.key. `subject` as openssl has it: '/O=system:masters/CN=admin'. */
  certify(name: string, subject: string, alternatives?: string): void;
  /** Path of a kubeconfig for whom `name` was certified. */
  kubeconfig(name: string, server: string): string;
  path(name: string): string;
}

/** A CA (ca.crt) and the keys of service accounts (sa.key, sa.pub), in an empty folder. Needs openssl. */
export function makePki(folder: string): Pki {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = (name: string) => openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', name);
  const path = (name: string) => join(folder, name);
  key('ca.key');
  openssl('req', '-x509', '-new', '-key', 'ca.key', '-subj', '/CN=test-ca', '-days', '30', '-out', 'ca.crt');
  openssl('genrsa', '-out', 'sa.key', '2048');
  openssl('rsa', '-in', 'sa.key', '-pubout', '-out', 'sa.pub');
  return {
    path,
    certify(name, subject, alternatives) {
      key(`${name}.key`);
      openssl('req', '-new', '-key', `${name}.key`, '-subj', subject, '-out', `${name}.csr`);
      const names = alternatives === undefined ? '' : `subjectAltName=${alternatives}\n`;
      writeFileSync(path(`${name}.ext`), `extendedKeyUsage=serverAuth,clientAuth\n${names}`);
      const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '30', '-extfile', `${name}.ext`];
      openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.crt`);
    },
    kubeconfig(name, server) {
      const base64 = (file: string) => readFileSync(path(file)).toString('base64');
      const user = { 'client-certificate-data': base64(`${name}.crt`), 'client-key-data': base64(`${name}.key`) };
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'test',
        clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': base64('ca.crt') } }],
        contexts: [{ name: 'test', context: { cluster: 'test', user: name } }],
        users: [{ name, user }],
      };
      writeFileSync(path(`${name}.kubeconfig`), JSON.stringify(config));
      return path(`${name}.kubeconfig`);
    },
  };
}
