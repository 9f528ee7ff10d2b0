/**
 * Boots Debian's kernels in an emulator, loads the programs that ship and runs tests there, and ends with a table and
 * with one line that sums them: `N passed, N failed`.
 *
 *   node test/kernels/run.ts [SERIES…]
 *
 * Exit code 1 if anything failed, or a kernel could not be had.
 */
import process from 'node:process';
import { makeArchive, makeBase } from './archive.ts';
import { boot } from './machine.ts';
import { fetchKernel } from './packages.ts';
import { Report } from './report.ts';
import { formatTable } from './table.ts';

/** Debian 12's, Debian 13's, the last one with long support, and the newest of all. */
const wanted = process.argv.length > 2 ? process.argv.slice(2) : ['6.1', '6.12', '6.18', '7'];

async function visit(series: string, base: string): Promise<Report> {
  const report = new Report(series);
  try {
    const kernel = fetchKernel(series);
    console.log(`${kernel.release}`);
    await boot(kernel, { initrd: makeArchive(kernel, base), limit: 900 }, (line) => report.take(line));
    report.end();
  } catch (error) {
    report.fail((error as Error).message);
  }
  for (const line of report.troubles) console.log(`  ${line}`);
  for (const suite of report.suites) console.log(`  ${suite}`);
  console.log(`  ${report.passed} passed, ${report.failed} failed (${report.seconds} s)\n`);
  return report;
}

if (process.arch !== 'x64') throw new Error('test-kernels knows only how to emulate x86-64 on x86-64');
const base = makeBase();
const reports: Report[] = [];
for (const series of wanted) reports.push(await visit(series, base));
console.log(formatTable(reports));
const passed = reports.reduce((sum, report) => sum + report.passed, 0);
const failed = reports.reduce((sum, report) => sum + report.failed, 0);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
