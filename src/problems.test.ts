import test from 'ava';
import pino from 'pino';
import { problemLog } from './problems.ts';

test('problemLog() tells each problem once when it appears and once when it is gone', (t) => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  const { report } = problemLog(log, 'warn');
  const [a, b] = [
    { object: 'Service a/b', reason: 'port 0' },
    { object: 'file x.yaml', reason: 'not YAML' },
  ];
  report([a, b, a]);
  report([b, a]);
  report([b]);
  report([a]);
  const told = lines.map((line) => JSON.parse(line)).map(({ level, msg }) => `${level} ${msg}`);
  t.deepEqual(told, [
    '40 Service a/b: port 0',
    '40 file x.yaml: not YAML',
    '30 no longer: Service a/b: port 0',
    '40 Service a/b: port 0',
    '30 no longer: file x.yaml: not YAML',
  ]);
});
