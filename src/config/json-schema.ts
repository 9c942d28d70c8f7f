import { z } from 'zod';
import { configSchema } from './schema.ts';

/** A node of the JSON Schema. */
export type SchemaNode = z.core.JSONSchema.BaseSchema;

/** The JSON Schema (draft 2020-12) of the YAML file, for editors and for checks outside this program. */
export function configJsonSchema(): SchemaNode {
  const schema = z.toJSONSchema(configSchema, { io: 'input' });
  return { ...fromElsewhere(schema), title: 'udm-sync configuration' };
}

/** A secret may come from a file, or from the environment: `…File` stands beside it, and neither is required. */
function fromElsewhere(node: SchemaNode): SchemaNode {
  const result: SchemaNode = { ...node };
  if (node.properties) {
    const secrets = Object.entries(node.properties).filter(([, child]) => isNode(child) && child.writeOnly);
    const files = secrets.map(([name]) => [`${name}File`, fileOf(name)] as const);
    const children = Object.entries(node.properties).map(([name, child]) => [name, descend(child)] as const);
    result.properties = Object.fromEntries([...children, ...files]);
    const required = node.required?.filter((name) => !secrets.some(([secret]) => secret === name)) ?? [];
    if (required.length > 0) result.required = required;
    else delete result.required;
  }
  if (isNode(node.additionalProperties)) result.additionalProperties = descend(node.additionalProperties);
  if (node.oneOf) result.oneOf = node.oneOf.map(descend);
  return result;
}

function descend<T>(child: T): T | SchemaNode {
  return isNode(child) ? fromElsewhere(child) : child;
}

function fileOf(name: string): SchemaNode {
  return { type: 'string', minLength: 1, description: `File that holds ${name}, instead of ${name} itself.` };
}

export function isNode(value: unknown): value is SchemaNode {
  return typeof value === 'object' && value !== null;
}
