/**
 * Preloaded into bpfsvc (NODE_OPTIONS, see mortal()): kills it with SIGKILL right after its n-th change of the kernel, be
 * that a row, a pin, a link or a name on the BPF filesystem. So a test can have it die in the middle of anything.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import process from 'node:process';

const variable = 'BPFSVC_TEST_DIES_AFTER';

/** The environment of an agent that dies after so many changes. */
export function mortal(changes: number): Record<string, string> {
  return { NODE_OPTIONS: `--import=${import.meta.url}`, [variable]: String(changes) };
}

let left = Number(process.env[variable] ?? Infinity);

function changed(count = 1): void {
  left -= count;
  if (left <= 0) process.kill(process.pid, 'SIGKILL');
}

/** Makes a method count as one change once it is through; what it returns is left alone. */
function counted<Name extends string>(owner: Record<Name, (...args: never[]) => unknown>, name: Name): void {
  const original = owner[name];
  owner[name] = function (this: unknown, ...args: never[]): unknown {
    const result = original.apply(this, args);
    if (result instanceof Promise) result.then(() => changed()).catch(() => {});
    else changed();
    return result;
  };
}

/** As the compiled agent has it, which this is preloaded into: of the package it knows nothing. */
async function agentsLibbpf(): Promise<typeof import('libbpf-ts')> {
  return await import(new URL('../../build/js/libbpf-ts.js', import.meta.url).href);
}

/** A batch as the first rows that still fit into this life, and then the rest. */
function mortalBatches(BpfMap: typeof import('libbpf-ts').BpfMap): void {
  const { updateBatch, deleteBatch } = BpfMap.prototype;
  BpfMap.prototype.updateBatch = function (keys, values) {
    const { keySize } = this.info;
    const rows = keys.length / keySize;
    if (left >= rows) {
      const done = updateBatch.call(this, keys, values);
      changed(rows);
      return done;
    }
    updateBatch.call(this, keys.subarray(0, left * keySize), values.subarray(0, left * this.valueSize));
    changed(left);
    return 0;
  };
  BpfMap.prototype.deleteBatch = function (keys) {
    const { keySize } = this.info;
    const rows = keys.length / keySize;
    const done = deleteBatch.call(this, keys.subarray(0, Math.min(left, rows) * keySize));
    changed(Math.min(left, rows));
    return done;
  };
}

if (Number.isFinite(left)) {
  const { BpfLink, BpfMap, BpfProgram } = await agentsLibbpf();
  mortalBatches(BpfMap);
  for (const name of ['pin', 'update'] as const) counted(BpfMap.prototype as never, name);
  counted(BpfProgram.prototype as never, 'pin');
  for (const name of ['pin', 'update', 'detach'] as const) counted(BpfLink.prototype as never, name);
  counted(BpfLink as never, 'attach');
  for (const name of ['symlinkSync', 'renameSync', 'unlinkSync', 'rmSync', 'rmdirSync'] as const) {
    counted(fs as never, name);
  }
  syncBuiltinESMExports();
}
