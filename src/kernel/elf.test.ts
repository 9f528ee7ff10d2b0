import test from 'ava';
import { rodataWith } from './elf.ts';
import { encodeConfig, readObjects } from './objects.ts';

const objects = readObjects();
const config = Buffer.from(encodeConfig(0x1122334455667788n), 'hex');

test('rodataWith() puts the config into .rodata and leaves the rest as compiled', (t) => {
  for (const elf of [objects.tc, objects.wire, objects.connect]) {
    const rodata = rodataWith(elf, 'config', config);
    const zero = rodataWith(elf, 'config', Buffer.alloc(config.length));
    const at = rodata.indexOf(config);
    t.true(at >= 0);
    t.deepEqual(rodata.subarray(0, at), zero.subarray(0, at));
    t.deepEqual(rodata.subarray(at + config.length), zero.subarray(at + config.length));
  }
});

test('rodataWith() refuses a name that is not there, another size, and what is no ELF file', (t) => {
  t.throws(() => rodataWith(objects.tc, 'nothing', config), { message: /no constant 'nothing'/ });
  t.throws(() => rodataWith(objects.tc, 'config', Buffer.alloc(3)), { message: /bytes in the object and 3/ });
  t.throws(() => rodataWith(Buffer.from('hello world, this is text'), 'config', config), { message: /not a .* ELF/ });
});
