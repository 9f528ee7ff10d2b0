import { isIP } from 'node:net';
import test from 'ava';
import fc from 'fast-check';
import { addressFromHex, addressToHex, cidrContains, familyOf, parseAddress, parseCidr } from './address.ts';

const canonical: readonly [name: string, text: string, address: string | null][] = [
  ['an IPv4 address', '10.96.0.1', '10.96.0.1'],
  ['leading zeros, as decimal', '010.096.000.001', '10.96.0.1'],
  ['many leading zeros', '0000010.0.0.1', '10.0.0.1'],
  ['blanks around', ' \t10.96.0.1 \n', '10.96.0.1'],
  ['the unspecified address', '0.0.0.0', '0.0.0.0'],
  ['the highest one', '255.255.255.255', '255.255.255.255'],
  ['an IPv6 address in capitals', 'FD00::A', 'fd00::a'],
  ['leading zeros in IPv6', 'fd00:0000:0:0:00000:0:0:000001', 'fd00::1'],
  ['the longest run of zeros', '1:0:0:2:0:0:0:3', '1:0:0:2::3'],
  ['the first of equal runs', '1:0:0:2:0:0:3:4', '1::2:0:0:3:4'],
  ['one zero group is not shortened', '1:2:3:0:5:6:7:8', '1:2:3:0:5:6:7:8'],
  ['"::" for one group', '1:2:3::5:6:7:8', '1:2:3:0:5:6:7:8'],
  ['run at the start', '0:0:0:1:2:3:4:5', '::1:2:3:4:5'],
  ['run at the end', '1:2:3:4:5:0:0:0', '1:2:3:4:5::'],
  ['all zero', '::', '::'],
  ['mapped IPv4', '::ffff:10.0.0.1', '10.0.0.1'],
  ['mapped IPv4 in hex', '::FFFF:0a00:0001', '10.0.0.1'],
  ['IPv4 at the end', '64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['nothing', '', null],
  ['only blanks', '  ', null],
  ['a byte too many', '1.2.3.4.5', null],
  ['a byte too few', '1.2.3', null],
  ['256', '1.2.3.256', null],
  ['an empty byte', '1..3.4', null],
  ['a trailing dot', '1.2.3.4.', null],
  ['blanks inside', '1. 2.3.4', null],
  ['a sign', '+1.2.3.4', null],
  ['hex in IPv4', '0x10.0.0.1', null],
  ['a name', 'localhost', null],
  ['"None"', 'None', null],
  ['five digits', '12345::', null],
  ['two "::"', '1::2::3', null],
  ['three colons', '1:::2', null],
  ['eight groups and "::"', '1:2:3:4:5:6:7:8::', null],
  ['seven groups', '1:2:3:4:5:6:7', null],
  ['nine groups', '1:2:3:4:5:6:7:8:9', null],
  ['a single colon', ':', null],
  ['a leading colon', ':1:2:3:4:5:6:7', null],
  ['a trailing colon', '1:2:3:4:5:6:7:', null],
  ['IPv4 not at the end', '1.2.3.4::1', null],
  ['IPv4 before "::"', '1:1.2.3.4::', null],
  ['a zone', 'fe80::1%eth0', null],
  ['a prefix', '10.0.0.0/8', null],
];

for (const [name, text, address] of canonical) {
  test(`parseAddress() ${address === null ? 'refuses' : 'makes canonical'}: ${name} '${text}'`, (t) => {
    t.is(parseAddress(text), address);
  });
}

const cidrs: readonly [text: string, cidr: string | null][] = [
  ['10.96.0.0/12', '10.96.0.0/12'],
  [' 10.97.1.1/012 ', '10.96.0.0/12'],
  ['10.0.0.255/25', '10.0.0.128/25'],
  ['1.2.3.4/32', '1.2.3.4/32'],
  ['1.2.3.4/0', '0.0.0.0/0'],
  ['fd00:10:96::1/112', 'fd00:10:96::/112'],
  ['FD00::ff/121', 'fd00::80/121'],
  ['::1/0', '::/0'],
  ['::ffff:10.96.1.1/108', '10.96.0.0/12'],
  ['::ffff:10.96.1.1/95', '::fffe:0:0/95'],
  ['10.96.0.0/33', null],
  ['fd00::/129', null],
  ['10.96.0.0', null],
  ['10.96.0.0/', null],
  ['10.96.0.0/-1', null],
  ['10.96.0.0/1.5', null],
  ['10.96.0.0/8/8', null],
  ['/8', null],
  ['x/8', null],
];

for (const [text, cidr] of cidrs) {
  test(`parseCidr() '${text}' gives ${cidr}`, (t) => {
    const parsed = parseCidr(text);
    t.is(parsed && `${parsed.address}/${parsed.prefixLength}`, cidr);
  });
}

test('cidrContains() tells inside from outside, and families apart', (t) => {
  const contains = (cidr: string, address: string) => cidrContains(parseCidr(cidr) ?? t.fail(cidr), address);
  t.true(contains('10.96.0.0/12', '10.111.255.255'));
  t.false(contains('10.96.0.0/12', '10.112.0.0'));
  t.true(contains('0.0.0.0/0', '1.2.3.4'));
  t.true(contains('1.2.3.4/32', '1.2.3.4'));
  t.false(contains('1.2.3.4/32', '1.2.3.5'));
  t.true(contains('fd00::/121', 'fd00::7f'));
  t.false(contains('fd00::/121', 'fd00::80'));
  t.true(contains('::/0', '::'));
  t.false(contains('::/0', '1.2.3.4'));
  t.false(contains('0.0.0.0/0', 'fd00::1'));
});

test('addressToHex() is the 16 bytes in network order, IPv4 mapped', (t) => {
  t.is(addressToHex('10.96.0.1'), '00000000000000000000ffff0a600001');
  t.is(addressToHex('fd00::1'), 'fd000000000000000000000000000001');
  t.is(addressToHex('::'), '0'.repeat(32));
});

test('addressToHex(), addressFromHex() throw on what is not theirs', (t) => {
  t.throws(() => addressToHex('web'), { message: /'web'/ });
  t.throws(() => addressFromHex('0a000001'), { message: /32 hex digits/ });
});

const hexAddress = fc.oneof(
  fc.stringMatching(/^[0-9a-f]{32}$/),
  fc.stringMatching(/^[0-9a-f]{8}$/).map((tail) => `00000000000000000000ffff${tail}`),
  fc.array(fc.constantFrom('0000', '0001', 'ffff'), { minLength: 8, maxLength: 8 }).map((groups) => groups.join('')),
);

test('addressFromHex(), addressToHex() and parseAddress() agree for every address', (t) => {
  fc.assert(
    fc.property(hexAddress, (hex) => {
      const address = addressFromHex(hex);
      t.is(addressToHex(address), hex);
      t.is(parseAddress(address), address);
      t.is(isIP(address), familyOf(address));
      if (familyOf(address) === 6) t.is(new URL(`http://[${address}]/`).hostname, `[${address}]`);
    }),
  );
});

test('parseCidr() contains its own address, at every length', (t) => {
  fc.assert(
    fc.property(hexAddress, fc.nat(128), (hex, length) => {
      const address = addressFromHex(hex);
      const cidr = parseCidr(`${address}/${familyOf(address) === 4 ? length >> 2 : length}`);
      t.true(cidr !== null && cidrContains(cidr, address));
    }),
  );
});
