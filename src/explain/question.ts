import { readFileSync } from 'node:fs';
import { type Address, familyOf, parseAddress } from '../model/address.ts';

export const protocols = ['tcp', 'udp', 'sctp'] as const;

/** What is asked: the first packet of a connection. */
export interface Question {
  readonly from: Address;
  readonly to: Address;
  readonly port: number;
  readonly protocol: (typeof protocols)[number];
}

/** What was asked cannot be answered, and why, as the rest of a sentence that begins with where it stands. */
export class QuestionError extends Error {
  override readonly name: string = 'QuestionError';
}

/** 'ADDRESS:PORT', an IPv6 address in brackets. Throws a QuestionError. */
export function parseTarget(text: string): { to: string; port: number } {
  const [, inBrackets, plain, digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text.trim()) ?? [];
  const to = inBrackets ?? plain;
  if (to === undefined || digits === undefined) {
    throw new QuestionError(`${JSON.stringify(text)} is not ADDRESS:PORT, such as 10.96.0.1:80 or [fd00::1]:80`);
  }
  return { to, port: Number(digits) };
}

/** From text that a person typed. Throws a QuestionError. */
export function makeQuestion(asked: { from: string; to: string; port: number; protocol?: string }): Question {
  const from = addressOf(asked.from);
  const to = addressOf(asked.to);
  const protocol = protocols.find((one) => one === (asked.protocol ?? 'tcp').toLowerCase());
  if (protocol === undefined)
    throw new QuestionError(`${JSON.stringify(asked.protocol)} is not one of ${protocols.join(', ')}`);
  if (!Number.isInteger(asked.port) || asked.port < 1 || asked.port > 65535) {
    throw new QuestionError(`${JSON.stringify(asked.port)} is not a port (1 to 65535)`);
  }
  if (familyOf(from) !== familyOf(to)) throw new QuestionError(`${from} and ${to} are not of one family`);
  return { from, to, port: asked.port, protocol };
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === null) throw new QuestionError(`${JSON.stringify(text)} is not an address`);
  return address;
}

/** The list of a file: [{"from", "to", "port", "protocol"}, …]. Throws a QuestionError that says which one is wrong. */
export function parseQuestions(text: string): Question[] {
  const list = jsonOf(text);
  if (!Array.isArray(list)) throw new QuestionError('is not a list of flows');
  return list.map((one, i) => {
    try {
      return makeQuestion(fieldsOf(one));
    } catch (error) {
      throw error instanceof QuestionError ? new QuestionError(`flow ${i + 1}: ${error.message}`) : error;
    }
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new QuestionError(`is not JSON (${(error as Error).message})`);
  }
}

function fieldsOf(one: unknown): { from: string; to: string; port: number; protocol: string } {
  if (typeof one !== 'object' || one === null) throw new QuestionError('it is not an object');
  const { from, to, port, protocol = 'tcp' } = one as Record<string, unknown>;
  if (typeof from !== 'string') throw new QuestionError("'from' is not an address");
  if (typeof to !== 'string') throw new QuestionError("'to' is not an address");
  if (typeof protocol !== 'string') throw new QuestionError("'protocol' is not text");
  const number = typeof port === 'string' && /^\d+$/.test(port) ? Number(port) : port;
  if (typeof number !== 'number') throw new QuestionError("'port' is not a number");
  return { from, to, port: number, protocol };
}

/** What was typed: one question, or a file with many. Throws a QuestionError. */
export function readQuestions(typed: { flows?: string; from?: string; to?: string; protocol: string }): Question[] {
  const { flows, from, to, protocol } = typed;
  if (flows === undefined) {
    if (from === undefined || to === undefined) {
      throw new QuestionError('--from ADDRESS and --to ADDRESS:PORT are missing, or --flows FILE');
    }
    return [makeQuestion({ from, ...parseTarget(to), protocol })];
  }
  try {
    return parseQuestions(readFileSync(flows, 'utf8'));
  } catch (error) {
    if (error instanceof QuestionError) throw new QuestionError(`${flows}: ${error.message}`);
    if (error instanceof Error && 'code' in error)
      throw new QuestionError(`${flows} cannot be read (${error.message})`);
    throw error;
  }
}
