import { serviceText } from './service-ref.ts';
import type { TraceItem } from './trace-items.ts';

const titles = ['TIME', 'EVENT', 'PROTOCOL', 'FROM', 'TO', 'BACKEND', 'SERVICE', 'REASON'];

/** Room for what is usual; a column widens with the first cell that needs more. */
const usual = [15, 7, 8, 21, 18, 20, 16, 0];

/** Turns items into lines of a table that has no end. The first call gives the titles, too. */
export function traceTable(): (item: TraceItem) => string {
  const widths = [...usual];
  const line = (cells: readonly string[]): string => {
    for (const [i, cell] of cells.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
    return `${cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('   ')
      .trimEnd()}\n`;
  };
  let isFirst = true;
  return (item) => {
    const text = line(cellsOf(item));
    const head = isFirst ? line(titles) : '';
    isFirst = false;
    return head + text;
  };
}

function cellsOf(item: TraceItem): string[] {
  const { time, event, protocol, asked, reason } = item;
  return [
    clockText(time),
    event,
    protocol,
    fromText(item),
    `-> ${asked.destination}`,
    backendText(item),
    serviceText(item) || '<none>',
    reason,
  ];
}

/** By the clock of whoever reads it. */
function clockText(time: string): string {
  const date = new Date(time);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, '0'));
  return `${parts.join(':')}.${time.slice(20, 26)}`;
}

function fromText({ asked, process }: TraceItem): string {
  if (process !== null) return `${process.command}[${process.pid}]`;
  return asked.source ?? '<none>';
}

/** With what the backend sees of the client, where that is not the client itself. */
function backendText({ asked, becomes }: TraceItem): string {
  if (becomes === null) return '';
  const isOther = becomes.source !== null && becomes.source !== asked.source;
  return `=> ${becomes.destination}${isOther ? ` as ${becomes.source}` : ''}`;
}
