/** Holds the lock of a pin directory until it is killed: `node test/hold-lock.ts DIRECTORY`. */
import { lockPinDir } from '../src/kernel/lock.ts';

lockPinDir(process.argv[2] ?? '');
process.send?.('held');
setInterval(() => {}, 1_000_000);
