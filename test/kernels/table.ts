import { programNames } from '../../src/kernel/hooks.ts';
import type { Report } from './report.ts';

/** A column for each kernel: what the verifier needed for each program, what the kernel lacks, and how the tests went. */
export function formatTable(reports: readonly Report[]): string {
  const rows = [
    ['verifier steps', ...reports.map((report) => report.release || report.series)],
    ...programNames.map((name) => [name, ...reports.map((report) => steps(report.instructions.get(name)))]),
    ['missing', ...reports.map((report) => report.missing.join(', ') || 'nothing')],
    ['passed', ...reports.map((report) => String(report.passed))],
    ['failed', ...reports.map((report) => String(report.failed))],
    ['seconds', ...reports.map((report) => String(report.seconds))],
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const format = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  return `${rows.map(format).join('\n')}\n`;
}

function steps(count: number | undefined): string {
  return count === undefined ? 'refused' : count.toLocaleString('en');
}
