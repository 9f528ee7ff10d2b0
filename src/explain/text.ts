import { endpointText } from '../model/address.ts';
import type { Answer } from './answer.ts';
import type { Question } from './question.ts';

/** The journey, a line a step. */
export function answerText({ from, to, port, protocol }: Question, { steps }: Answer): string {
  const lines = steps.map(({ step, text }) => `  ${step.padEnd(10)}  ${text}`);
  return `${protocol} ${from} → ${endpointText(to, port)}\n${lines.join('\n')}\n`;
}
