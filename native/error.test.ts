import test from 'ava';
import { BpfError } from './index.ts';

const full = { code: 'E2BIG', call: 'map_update', object: 'map addresses', detail: 'Argument list too long' };

test('BpfError says call, object, reason and code in one sentence', (t) => {
  const error = new BpfError(full);
  t.is(error.message, 'map_update map addresses: Argument list too long (E2BIG)');
  t.is(error.name, 'BpfError');
  t.deepEqual({ ...error }, { name: 'BpfError', code: 'E2BIG', call: 'map_update', object: 'map addresses' });
});

test('BpfError has `log` and `done` only where there are any', (t) => {
  t.false('log' in new BpfError(full) || 'done' in new BpfError(full));
  const error = new BpfError({ ...full, log: 'text', done: 0 });
  t.is(error.log, 'text');
  t.is(error.done, 0);
});

test('BpfError ends with the verdict: the line before the verifier counts', (t) => {
  const log = [
    "libbpf: prog 'x': BPF program load failed: Permission denied",
    "libbpf: prog 'x': -- BEGIN PROG LOAD LOG --",
    '0: (79) r0 = *(u64 *)(r0 +0)',
    "R0 invalid mem access 'scalar'",
    'processed 1 insns (limit 1000000) max_states_per_insn 0',
    '-- END PROG LOAD LOG --',
  ].join('\n');
  t.regex(new BpfError({ ...full, log }).message, /\(E2BIG\): R0 invalid mem access 'scalar'$/);
});

test('BpfError ends with what libbpf said first if the verifier was not reached', (t) => {
  const log = 'libbpf: elf: junk is not a proper ELF object\nlibbpf: and more\n';
  t.regex(new BpfError({ ...full, log }).message, /\(E2BIG\): elf: junk is not a proper ELF object$/);
});
