/**
 * Checks a value against a JSON Schema of draft 2020-12, as far as the schemas of this repository go: a keyword that is
 * not known here is an error, not a pass.
 */
export type Schema = { readonly [keyword: string]: unknown };

/** Returns what is wrong, each with the path of the place; empty: it is valid. `root` has the $defs. */
export function schemaErrors(value: unknown, schema: Schema, root: Schema = schema, path = '$'): string[] {
  return Object.entries(schema).flatMap(([keyword, argument]) => {
    if (annotations.has(keyword)) return [];
    const check = keywords[keyword];
    if (check === undefined) return [`${path}: the schema uses '${keyword}', which is not known here`];
    return check(value, argument as never, { root, path, schema });
  });
}

interface Context {
  readonly root: Schema;
  readonly path: string;
  readonly schema: Schema;
}

type Check = (value: unknown, argument: never, context: Context) => string[];

const annotations = new Set(['$schema', '$defs', 'title', 'description']);

const keywords: Readonly<Record<string, Check>> = {
  type: (value, type: string, { path }) => must(typeOf(value, type), path, `is not of type ${type}`),
  const: (value, constant: unknown, { path }) => must(value === constant, path, `is not ${JSON.stringify(constant)}`),
  enum: (value, values: unknown[], { path }) => must(values.includes(value), path, `is not one of ${values}`),
  pattern: (value, pattern: string, { path }) =>
    must(typeof value !== 'string' || new RegExp(pattern, 'u').test(value), path, `does not match ${pattern}`),
  minLength: (value, length: number, { path }) => must(String(value).length >= length, path, 'is too short'),
  minimum: (value, least: number, { path }) => must(Number(value) >= least, path, `is less than ${least}`),
  maximum: (value, most: number, { path }) => must(Number(value) <= most, path, `is more than ${most}`),
  required: (value, names: string[], { path }) =>
    names.flatMap((name) => must(isObject(value) && name in value, path, `has no '${name}'`)),
  properties: (value, schemas: Record<string, Schema>, { root, path }) =>
    Object.entries(schemas).flatMap(([name, schema]) =>
      isObject(value) && name in value ? schemaErrors(value[name], schema, root, `${path}.${name}`) : [],
    ),
  additionalProperties: (value, schema: Schema, { root, path, schema: parent }) =>
    Object.entries(isObject(value) ? value : {}).flatMap(([name, member]) =>
      name in ((parent.properties as object | undefined) ?? {})
        ? []
        : schemaErrors(member, schema, root, `${path}.${name}`),
    ),
  items: (value, schema: Schema, { root, path }) =>
    Array.isArray(value) ? value.flatMap((item, i) => schemaErrors(item, schema, root, `${path}[${i}]`)) : [],
  oneOf: (value, schemas: Schema[], { root, path }) => {
    const results = schemas.map((schema) => schemaErrors(value, schema, root, path));
    const valid = results.filter((errors) => errors.length === 0).length;
    if (valid === 1) return [];
    return [`${path}: ${valid} of ${schemas.length} alternatives are valid, not one`, ...results.flat()];
  },
  $ref: (value, reference: string, { root, path }) => {
    const name = reference.replace('#/$defs/', '');
    const schema = (root.$defs as Record<string, Schema> | undefined)?.[name];
    return schema === undefined ? [`${path}: the schema has no ${reference}`] : schemaErrors(value, schema, root, path);
  },
};

function typeOf(value: unknown, type: string): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  if (type === 'null') return value === null;
  return type === 'object' ? isObject(value) : typeof value === type;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function must(holds: boolean, path: string, complaint: string): string[] {
  return holds ? [] : [`${path} ${complaint}`];
}
